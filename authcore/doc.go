// Package authcore is the composition root of Gatehouse: State and Engine put
// the services together. It knows no server in front of it.
package authcore
