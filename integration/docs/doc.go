// Package docs holds the documentation to the truth: every Caddyfile in it
// and in examples/ is adapted, validated and run, every word of the reference
// is one that the parser knows and the other way round, and the verification
// snippets run against a server. It owns no claim about behaviour beyond what
// the pages say.
package docs
