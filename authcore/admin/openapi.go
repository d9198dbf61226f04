package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// node is a JSON object; its members are written in the order of their names.
type node = map[string]any

// Document returns the API's OpenAPI document (3.1), made of the table of
// operations and the types that they take and answer.
func Document() []byte {
	b := builder{schemas: node{}}
	paths := node{}
	for _, op := range operations() {
		item, _ := paths[op.path].(node)
		if item == nil {
			item = node{}
			paths[op.path] = item
		}
		item[strings.ToLower(op.method)] = b.operation(op)
	}
	doc := node{
		"openapi": "3.1.0",
		"info": node{
			"title": "Gatehouse admin API", "version": "1",
			"description": "Users, groups, clients and keys of a pool. Reading is GET, every change is POST. Members that are not known are refused.",
		},
		"servers":  []any{node{"url": "../../admin", "description": "Below the issuer of the pool, beside this document"}},
		"security": []any{node{"operator": []string{}}},
		"paths":    paths,
		"components": node{
			"schemas": b.schemas,
			"securitySchemes": node{"operator": node{
				"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
				"description": "An access token with the scope gatehouse.admin for the resource <issuer>/admin",
			}},
		},
	}
	b.schema(reflect.TypeFor[Problem]())
	raw, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("admin: the OpenAPI document: %v", err)) // of this module's own tables; any test finds it
	}
	return append(raw, '\n')
}

// builder collects the schemas that are named on the way.
type builder struct{ schemas node }

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

func (b builder) operation(op operation) node {
	out := node{"operationId": op.id, "summary": op.summary}
	var parameters []any
	for _, m := range pathParameter.FindAllStringSubmatch(op.path, -1) {
		parameters = append(parameters, node{"name": m[1], "in": "path", "required": true, "schema": node{"type": "string"}})
	}
	for _, q := range op.query {
		parameters = append(parameters, node{"name": q.name, "in": "query", "description": q.doc, "schema": node{"type": q.kind}})
	}
	if parameters != nil {
		out["parameters"] = parameters
	}
	if op.in != nil && op.in != reflect.TypeFor[nothing]() {
		out["requestBody"] = node{"required": true, "content": b.json(op.in)}
	}
	ok := node{"description": "Done"}
	if op.out != nil {
		ok["content"] = b.json(op.out)
	}
	responses := node{"200": ok}
	if op.open {
		out["security"] = []any{}
	} else {
		responses["default"] = node{"description": "Refused, or failed", "content": b.json(reflect.TypeFor[Problem]())}
		for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
			responses[strconv.Itoa(status)] = node{
				"description": http.StatusText(status) + ": the login host alone", "content": b.json(reflect.TypeFor[Problem]()),
				"headers": node{"WWW-Authenticate": node{"schema": node{"type": "string"}}},
			}
		}
	}
	out["responses"] = responses
	return out
}

func (b builder) json(t reflect.Type) node {
	return node{"application/json": node{"schema": b.schema(t)}}
}

// schema describes a type; a struct of ours is named, and described once.
func (b builder) schema(t reflect.Type) node {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return node{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return b.schema(t.Elem())
	}
	switch t.Kind() {
	case reflect.String:
		return node{"type": "string"}
	case reflect.Bool:
		return node{"type": "boolean"}
	case reflect.Slice:
		return node{"type": "array", "items": b.schema(t.Elem())}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return node{"type": "object"}
		}
		return node{"type": "object", "additionalProperties": b.schema(t.Elem())}
	case reflect.Struct:
		if b.schemas[t.Name()] == nil {
			b.schemas[t.Name()] = b.object(t)
		}
		return node{"$ref": "#/components/schemas/" + t.Name()}
	}
	panic(fmt.Sprintf("admin: no schema for %v", t))
}

// object describes the members of a struct.
func (b builder) object(t reflect.Type) node {
	properties, required := node{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		s := b.schema(f.Type)
		if doc := f.Tag.Get("doc"); doc != "" {
			s["description"] = doc
		}
		if values := f.Tag.Get("enum"); values != "" {
			s["enum"] = strings.Split(values, ",")
		}
		if format := f.Tag.Get("format"); format != "" {
			s["format"] = format
		}
		properties[name] = s
		if options == "" {
			required = append(required, name)
		}
	}
	out := node{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}
