package safari

import "aviso.example/internal/service"

// hints say what Safari's reports mean. The texts are not documented, so a hint
// goes by its nouns; the more particular ones come first.
var hints = []service.Hint{
	hint("authentication token", "authenticationToken is shorter than 16 characters", "authenticationToken", "16"),
	hint("download", "pushPackages did not answer 200 in time, or the path differs from webServiceURL", "Downloading", "package"),
	hint("zip", "the package is no zip that Safari reads: check it with aviso safari verify; a zip that holds a folder is the usual mistake", "Extracting", "package"),
	hint("missing file", "a file is missing in the package: check it with aviso safari verify", "Missing file"),
	hint("missing icon", "one of the six icons is missing in the package", "Missing image"),
	hint("missing key", "website.json lacks one of its six keys", "Missing key"),
	hint("JSON", "website.json or manifest.json is not JSON", "Serialization", "JSON"),
	hint("signature", "the signature is of another certificate or of other bytes, or lacks the intermediate: check the package with aviso safari verify", "Signature", "package"),
	hint("manifest", "the hashes in the manifest are wrong, or of the other version of packages: v1 has SHA-1, v2 SHA-512", "hash"),
	hint("manifest", "the hashes in the manifest are wrong, or of the other version of packages: v1 has SHA-1, v2 SHA-512", "manifest"),
	hint("icon", "an icon is not a PNG of the right size: 16, 32, 32, 64, 128 and 256 pixels", "ICNS"),
	hint("icon", "an icon is not a PNG of the right size: 16, 32, 32, 64, 128 and 256 pixels", "Unable to create", "icon"),
	hint("format string", "urlFormatString holds a per cent sign that begins neither %@ nor %%", "format string"),
	hint("webServiceURL", "webServiceURL differs from the first argument of requestPermission, perhaps by a slash at the end", "webServiceURL", "equal"),
	hint("webServiceURL", "webServiceURL is not a URL", "parse", "webServiceURL"),
	hint("webServiceURL", "webServiceURL has to begin with https://", "webServiceURL", "http"),
	hint("urlFormatString", "urlFormatString has to begin with http:// or https://", "urlFormatString", "http"),
	hint("websitePushID", "websitePushID differs between script call, website.json and certificate", "websitePushID", "equal"),
}

func hint(kind, advice string, words ...string) service.Hint {
	return service.Hint{Words: words, Kind: kind, Advice: advice}
}
