package admin

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

var update = flag.Bool("update", false, "write docs/openapi.json")

const committed = "../../docs/openapi.json"

// The document in docs is the one that the table and the types make.
func TestTheDocumentIsTheCommittedOne(t *testing.T) {
	if *update {
		if err := os.WriteFile(committed, Document(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(committed)
	if err != nil || !bytes.Equal(have, Document()) {
		t.Errorf("docs/openapi.json is not what the code says (%v): run `go test ./authcore/admin -update`", err)
	}
}

// document is the part of an OpenAPI document that the tests look at.
type document struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string
		Summary     string
		Parameters  []struct{ Name, In string }
		Responses   map[string]any
	}
	Components struct{ Schemas map[string]map[string]any }
}

func parse(t *testing.T) document {
	t.Helper()
	var doc document
	if err := json.Unmarshal(Document(), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// Whatever the document names is routed, and nothing else: a route that is
// there reaches the door, which refuses here.
func TestTheDocumentAndTheRoutesAgree(t *testing.T) {
	a := New(Config{})
	closed := a.route(func(*http.Request, string) (pool.Caller, *pool.Pool, error) {
		return pool.Caller{}, nil, fault.New(fault.Forbidden, "closed")
	})
	ask := func(method, path string) error {
		path = pathParameter.ReplaceAllString(path, "x")
		return closed.serve(httptest.NewRecorder(), httptest.NewRequest(method, path, nil))
	}
	doc, ids, count := parse(t), map[string]bool{}, 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			count++
			err := ask(strings.ToUpper(method), path)
			if path == documentPath && err != nil || path != documentPath && fault.CodeOf(err) != fault.Forbidden {
				t.Errorf("%s %s: %v", method, path, err)
			}
			if op.OperationID == "" || op.Summary == "" || ids[op.OperationID] {
				t.Errorf("%s %s: %+v", method, path, op)
			}
			ids[op.OperationID] = true
			if named := strings.Count(path, "{"); named > len(op.Parameters) {
				t.Errorf("%s %s: %d parameters", method, path, len(op.Parameters))
			}
		}
		if err := ask(http.MethodGet, path+"/more/of/it"); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("below %s: %v", path, err)
		}
	}
	if doc.OpenAPI != "3.1.0" || count != len(operations()) {
		t.Errorf("%s, %d operations of %d", doc.OpenAPI, count, len(operations()))
	}
	for _, path := range []string{"/", "/v1", "/v2/pools/x/users", "/v1/pools/x/users/", "/v1/pools//users", "/v1/pools/x/../x/users"} {
		if err := ask(http.MethodGet, path); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Every reference leads somewhere, and every schema is used.
func TestTheDocumentIsWhole(t *testing.T) {
	raw := string(Document())
	for name, schema := range parse(t).Components.Schemas {
		if !strings.Contains(raw, `"#/components/schemas/`+name+`"`) {
			t.Errorf("the schema %s is not used", name)
		}
		if schema["additionalProperties"] != false {
			t.Errorf("the schema %s lets in what nobody knows", name)
		}
	}
	for part := range strings.SplitSeq(raw, `"#/components/schemas/`) {
		name, _, _ := strings.Cut(part, `"`)
		if part != raw && !strings.HasPrefix(part, "{") && parse(t).Components.Schemas[name] == nil {
			t.Errorf("the schema %s is missing", name)
		}
	}
}

func TestBodiesAreReadStrictly(t *testing.T) {
	var in Password
	for body, want := range map[string]string{
		``: "", ` `: "", `{}`: "", `{"password":"x"}`: "",
		`{"passwort":"x"}`: `"passwort"`, `{"password":1}`: "JSON", `{`: "JSON", `[]`: "JSON", `{} {}`: "after", `{}x`: "after", `null x`: "after",
	} {
		err := decode(strings.NewReader(body), &in)
		if want == "" && err != nil || want != "" && (fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.TextOf(err), want)) {
			t.Errorf("%s: %v", body, err)
		}
	}
	op := operations()[2]
	large := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"name":"`+strings.Repeat("x", 1<<20)+`"}`))
	if _, err := op.read(httptest.NewRecorder(), large); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("a large body: %v", err)
	}
}
