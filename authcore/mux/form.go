package mux

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

const formType = "application/x-www-form-urlencoded"

// Form returns the single-valued parameters of an urlencoded body or of the
// query: fault.InvalidRequest if one that may not repeat does (RFC 6749 3.1), if the body is
// too large or of another media type, or if a parameter stands in both;
// fault.NotSupported if the body is compressed. An empty parameter counts as
// absent. It reads the body, once.
func Form(r *http.Request, mayRepeat ...string) (map[string][]string, error) {
	query, err := parse(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	values := query
	if unsafe(r.Method) {
		body, err := BodyForm(r)
		if err != nil {
			return nil, err
		}
		for name := range body {
			if _, twice := query[name]; twice {
				return nil, fault.New(fault.InvalidRequest, "A parameter stands in the query and in the body: "+short(name))
			}
		}
		for name, vs := range query {
			body[name] = vs
		}
		values = body
	}
	return single(values, mayRepeat)
}

// short bounds what an error repeats of a request.
func short(name string) string { return Printable(name[:min(len(name), 40)]) }

// single refuses repeated parameters and drops empty ones.
func single(values url.Values, mayRepeat []string) (map[string][]string, error) {
	for name, vs := range values {
		if len(vs) > 1 && !slices.Contains(mayRepeat, name) {
			return nil, fault.New(fault.InvalidRequest, "A parameter is repeated: "+short(name))
		}
		vs = slices.DeleteFunc(vs, func(v string) bool { return v == "" })
		if len(vs) == 0 {
			delete(values, name)
			continue
		}
		values[name] = vs
	}
	return values, nil
}

// BodyForm returns the parameters of an urlencoded body alone, repeated and
// empty ones included; for endpoints that take nothing from the query. Errors
// are those of Form.
func BodyForm(r *http.Request) (url.Values, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, fault.New(fault.NotSupported, "Compressed bodies are not taken.")
	}
	if r.ContentLength == 0 {
		return url.Values{}, nil
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != formType || len(r.Header["Content-Type"]) != 1 {
		return nil, fault.New(fault.InvalidRequest, "The body must be "+formType+".")
	}
	if r.ContentLength > MaxBody {
		return nil, errTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) || len(body) > MaxBody {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err, "The body could not be read.")
	}
	return parse(string(body))
}

// One returns the value of a parameter that stands once, or nothing.
func One(params url.Values, name string) string {
	if vs := params[name]; len(vs) == 1 {
		return vs[0]
	}
	return ""
}

var errTooLarge = fault.New(fault.InvalidRequest, "The body is too large.")

// parse decodes pairs; names and values must be UTF-8 without NUL.
func parse(s string) (url.Values, error) {
	values, err := url.ParseQuery(s)
	if err != nil {
		// The cause would quote what was sent.
		return nil, fault.New(fault.InvalidRequest, "The parameters are not well encoded.")
	}
	for name, vs := range values {
		for _, v := range append(slices.Clone(vs), name) {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return nil, fault.New(fault.InvalidRequest, "The parameters are not text.")
			}
		}
	}
	return values, nil
}
