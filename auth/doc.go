// Package auth holds the two kinds of credential that APNs accepts and keeps
// their rules.
//
// A signing key (the .p8 file from the developer portal) makes provider tokens:
//
//	key, err := auth.LoadSigningKey("AuthKey_ABC123DEFG.p8", "")
//	...
//	providerTokens, err := auth.NewProviderTokens(auth.ProviderTokensConfig{Key: key, TeamID: "A1B2C3D4E5"})
//
// Apple asks for a provider token that is changed not more often than every 20
// minutes and not less often than every 60. [ProviderTokens] makes them,
// [Pin] gives each connection one that stays the same for as long as it can.
//
// A certificate (.p12 or .pem, with its private key) says by itself who the
// sender is:
//
//	certificate, err := auth.LoadCertificate("push.p12", password)
//
// [Inspect] looks at any key or certificate file and says what it is, what it
// can be used for and what is wrong with it.
//
// Files come from users, so every parser here takes what tools really write,
// answers anything else with an error that names the likely mistake, and bounds
// the work that a hostile file can cause. No error, log line or String method
// of this package contains a private key, a password or a provider token.
//
// Nothing here starts a goroutine or opens a connection.
package auth
