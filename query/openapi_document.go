package query

import (
	_ "embed"
	"slices"
)

//go:embed openapi.json
var openAPI []byte

// OpenAPI is the OpenAPI 3.1 document of a service with keys. Clients are generated from it. What a running service serves
// at /openapi.json differs in the version, which is the program's there, and in the keys, where it has none.
func OpenAPI() []byte { return slices.Clone(openAPI) }
