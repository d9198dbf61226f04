// Package archtest holds the shape of the module: who may import whom, which
// package may do what, and the budgets that keep the code readable. It has
// tests only; docs/architecture.md tells the reasons.
package archtest
