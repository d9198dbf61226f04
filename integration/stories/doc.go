// Package stories runs the user stories of testdata/*.txtar against the built
// binary, each on every store: a Caddyfile, steps and what must come of them.
//
// Besides testscript's own commands a story has those of commands_test.go;
// README.md lists them. The package knows the product only from outside.
package stories
