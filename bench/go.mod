// Aviso measured: its speed beside that of clients other people wrote, and what
// it does when the peer misbehaves. A module of its own, so that their
// dependencies stay out of Aviso's.
module aviso.example/bench

go 1.26.0

replace aviso.example => ../

require (
	aviso.example v0.0.0
	github.com/sideshow/apns2 v0.25.0
	golang.org/x/net v0.62.0
)

require (
	github.com/golang-jwt/jwt/v4 v4.4.1 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	software.sslmate.com/src/go-pkcs12 v0.7.4 // indirect
)
