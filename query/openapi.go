package query

import (
	"context"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// Names of the ways to give a key, in the OpenAPI document.
const (
	schemeBearer = "bearer"
	schemeHeader = "apiKey"
)

// describe is the OpenAPI document without its operations. Huma's own routes for it are off: they would offer pages
// that load scripts from elsewhere, and write $schema links into every answer.
func (s *server) describe() huma.Config {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	schemas.RegisterTypeAlias(reflect.TypeFor[aggregate.Money](), reflect.TypeFor[dollarsSchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[aggregate.Percent](), reflect.TypeFor[percentSchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[aggregate.Status](), reflect.TypeFor[statusSchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[aggregate.Source](), reflect.TypeFor[sourceSchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[uuid.UUID](), reflect.TypeFor[runKeySchema]())
	c := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "runmetrics", Version: s.Version,
				Description: "Metrics of agent runs. Whatever is not valid in path, query, header or body is answered with " +
					"400 and a list of every bad field. Unknown properties and query parameters are ignored."},
			Components: &huma.Components{Schemas: schemas},
		},
		// "json" is what huma takes of application/problem+json.
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
	}
	c.AllowAdditionalPropertiesByDefault = true // both sides may grow
	if s.Keys != nil {
		c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
			schemeBearer: {Type: "http", Scheme: "bearer", BearerFormat: "<id>.<secret>"},
			schemeHeader: {Type: "apiKey", In: "header", Name: "X-API-Key"},
		}
	}
	return c
}

// schemaOf refers to the schema of a type.
func schemaOf[T any](api huma.API) *huma.Schema {
	return api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// responses describes a success and the problems that an operation can answer besides 500.
func responses(api huma.API, status int, body *huma.Schema, problems ...int) map[string]*huma.Response {
	described := map[string]*huma.Response{strconv.Itoa(status): response(status, "application/json", body)}
	for _, status := range append(problems, http.StatusInternalServerError) {
		described[strconv.Itoa(status)] = response(status, "application/problem+json", schemaOf[huma.ErrorModel](api))
	}
	return described
}

func response(status int, contentType string, body *huma.Schema) *huma.Response {
	return &huma.Response{
		Description: http.StatusText(status),
		Content:     map[string]*huma.MediaType{contentType: {Schema: body}},
	}
}

// text is the schema of a name of up to limit UTF-16 code units.
func text(limit int) *huma.Schema {
	one := 1
	return &huma.Schema{Type: huma.TypeString, MinLength: &one, MaxLength: &limit}
}

func oneOf(values ...any) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Enum: values} }

// Types of the record whose JSON is not what reflection would think.
type (
	dollarsSchema struct{}
	percentSchema struct{}
	statusSchema  struct{}
	sourceSchema  struct{}
	runKeySchema  struct{}
)

func (dollarsSchema) Schema(huma.Registry) *huma.Schema {
	zero := 0.0
	return &huma.Schema{Type: huma.TypeNumber, Minimum: &zero,
		Description: "US dollars, an exact decimal of up to nine fraction digits."}
}

func (percentSchema) Schema(huma.Registry) *huma.Schema {
	zero, all := 0.0, 100.0
	return &huma.Schema{Type: huma.TypeNumber, Minimum: &zero, Maximum: &all, Nullable: true,
		Description: "Percent with two decimals, null where there is nothing to divide by."}
}

func (statusSchema) Schema(huma.Registry) *huma.Schema {
	return oneOf(aggregate.Running, aggregate.Stalled, aggregate.Completed, aggregate.Failed, aggregate.Cancelled)
}

func (sourceSchema) Schema(huma.Registry) *huma.Schema {
	return oneOf(aggregate.FromEvents, aggregate.FromReport)
}

func (runKeySchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "uuid",
		Description: "Identity of (campaignId, runId, phase) in every store."}
}

type specOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *server) routeSpec(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "openapi", Method: http.MethodGet, Path: "/openapi.json", Tags: []string{"process"},
		Summary:   "This document",
		Responses: responses(api, http.StatusOK, &huma.Schema{Type: huma.TypeObject}),
	}, func(context.Context, *struct{}) (*specOutput, error) {
		return &specOutput{ContentType: "application/json", Body: s.spec}, nil
	})
}
