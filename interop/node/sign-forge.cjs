// Signs a manifest as passkit-generator does: node-forge, detached, with
// contentType, messageDigest and signingTime, in that order.
"use strict";
const fs = require("node:fs");
const forge = require("node-forge");

const [, , certFile, keyFile, wwdrFile, contentFile, digest, outFile] = process.argv;
const read = (file) => fs.readFileSync(file, "utf8");

const p7 = forge.pkcs7.createSignedData();
p7.content = new forge.util.ByteStringBuffer(fs.readFileSync(contentFile));
const certificate = forge.pki.certificateFromPem(read(certFile));
p7.addCertificate(read(wwdrFile));
p7.addCertificate(certificate);
p7.addSigner({
	key: forge.pki.privateKeyFromPem(read(keyFile)),
	certificate,
	digestAlgorithm: forge.pki.oids[digest],
	authenticatedAttributes: [
		{ type: forge.pki.oids.contentType, value: forge.pki.oids.data },
		{ type: forge.pki.oids.messageDigest },
		{ type: forge.pki.oids.signingTime },
	],
});
p7.sign({ detached: true });
fs.writeFileSync(outFile, Buffer.from(forge.asn1.toDer(p7.toAsn1()).getBytes(), "binary"));
