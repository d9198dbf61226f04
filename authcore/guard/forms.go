package guard

// PathForms returns every form under which somebody behind the gate might read
// a raw (escaped) path, for whoever decides which lines apply to a request.
// nil means that it cannot be judged: a tightening line applies to it.
func PathForms(raw string) []string { return pathForms(raw) }
