module widecast.example/interop

// The Go of Debian 12, which `tests/run` installs where there is none.
go 1.19

// The newest version that this Go compiles.
require github.com/golang-jwt/jwt/v5 v5.2.2
