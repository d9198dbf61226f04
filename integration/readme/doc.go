// Package readme does what README.md tells a stranger to do, word by word, in
// a copy of the tree and with an empty home directory: the command, the printed
// link in Chromium, the app, the printed curl lines. Beside it stand the
// answers of an API behind the gate to tokens that do not open it.
package readme
