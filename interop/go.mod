// Aviso against programs that other people wrote. A module of its own, so that
// their dependencies stay out of Aviso's.
module aviso.example/interop

go 1.26.0

replace aviso.example => ../

require (
	aviso.example v0.0.0
	github.com/sideshow/apns2 v0.25.0
)

require (
	codeberg.org/go-fonts/liberation v0.6.0 // indirect
	github.com/boombuler/barcode v1.1.0 // indirect
	github.com/go-playground/locales v0.14.2 // indirect
	github.com/golang-jwt/jwt/v4 v4.4.1 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/smallstep/pkcs7 v0.2.3 // indirect
	github.com/stretchr/testify v1.11.1 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/image v0.46.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sync v0.25.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/time v0.16.0 // indirect
	software.sslmate.com/src/go-pkcs12 v0.7.4 // indirect
)
