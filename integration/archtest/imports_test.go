package archtest

import (
	"slices"
	"strings"
	"testing"
)

// ranks is the import table: a package imports only lower ranks. Subfolders
// count with their parent.
var ranks = []struct {
	rank    int
	folders []string
}{
	{0, []string{"store", "authcore/fault", "authcore/secret", "authcore/prompt", "authcore/jose"}},
	{1, []string{"authcore/pool", "authcore/page", "authcore/mux", "authcore/audit", "authcore/notify",
		"store/memstore", "store/sqlitestore", "store/redisstore", "store/nearcache", "store/storetest"}},
	{2, []string{"authcore/repo", "authcore/trigger"}},
	{3, []string{"authcore/keyring", "authcore/risk"}},
	{4, []string{"authcore/token", "authcore/session", "authcore/account", "authcore/factor", "authcore/federation"}},
	{5, []string{"authcore/flow", "authcore/guard"}},
	{6, []string{"authcore/oauth", "authcore/signin", "authcore/admin", "authcore/cognitoapi", "authcore/identitypool", "authcore/sync"}},
	{7, []string{"authcore"}},
}

// rankOf finds a package's rank and the folder it counts with; -1 above the table.
func rankOf(pkg string) (rank int, folder string) {
	rank = -1
	for _, r := range ranks {
		for _, f := range r.folders {
			if within(pkg, f) && len(f) > len(folder) {
				rank, folder = r.rank, f
			}
		}
	}
	if folder == "authcore" && pkg != "authcore" {
		return -1, pkg // a new package below authcore must be put into the table
	}
	return rank, folder
}

func TestImportsPointOneWay(t *testing.T) {
	for _, f := range source(t) {
		if f.test || within(f.pkg, "integration") {
			continue
		}
		rank, folder := rankOf(f.pkg)
		if rank < 0 && within(f.pkg, "authcore") && !within(f.pkg, "authcore/authtest") {
			t.Errorf("%s: package %s is not in the import table", f.path, f.pkg)
		}
		for _, i := range f.imports {
			pkg, ours := strings.CutPrefix(i, module+"/")
			if !ours {
				continue
			}
			other, otherFolder := rankOf(pkg)
			if rank >= 0 && otherFolder != folder && (other < 0 || other >= rank) {
				t.Errorf("%s (rank %d) imports %s (rank %d): imports point to lower ranks only", f.path, rank, pkg, other)
			}
		}
	}
}

// rules name who alone may import what, tests included unless noted.
var rules = []struct {
	prefix string
	only   []string
	tests  bool // tests everywhere may
	why    string
}{
	{"github.com/lestrrat-go/jwx", []string{"authcore/jose"}, false, "jwx is to be moved in one folder"},
	{"github.com/caddyserver/", []string{"caddymodule", "xcaddy", "integration"}, false, "the core must work without Caddy"},
	{"crypto/rand", []string{"authcore/secret", "authcore/keyring", "authcore/authtest", "store", "integration"}, true, "randomness has one door"},
	{"math/rand", []string{"store", "integration"}, true, "nothing secret may come from a seeded generator"},
	{"modernc.org/sqlite", []string{"store/sqlitestore"}, true, "SQL stays behind the store contract"},
	{"github.com/redis/", []string{"store/redisstore"}, true, "Redis stays behind the store contract"},
	{"github.com/hashicorp/golang-lru/v2/expirable", nil, false, "it leaks a goroutine per instance"},
	{"unsafe", nil, false, "there is no need"},
}

func TestWhoMayImportWhat(t *testing.T) {
	for _, f := range source(t) {
		for _, i := range f.imports {
			for _, r := range rules {
				if !strings.HasPrefix(i, r.prefix) || within(f.pkg, r.only...) || f.test && r.tests {
					continue
				}
				t.Errorf("%s imports %s: %s", f.path, i, r.why)
			}
		}
	}
}

func TestStoreAndPagesKnowLittle(t *testing.T) {
	for _, f := range source(t) {
		for _, i := range f.imports {
			pkg, ours := strings.CutPrefix(i, module+"/")
			if !ours {
				continue
			}
			if within(f.pkg, "store") && !within(pkg, "store") {
				t.Errorf("%s: store knows nothing of %s", f.path, pkg)
			}
			if within(f.pkg, "loginui") && !within(pkg, "authcore/page", "authcore/prompt", "loginui") {
				t.Errorf("%s: loginui knows pages and prompts, not %s", f.path, pkg)
			}
		}
	}
}

func TestOnlyTheRootComposes(t *testing.T) {
	const most = 9
	imports, reasons := map[string][]string{}, map[string]bool{}
	for _, f := range source(t) {
		if f.test || within(f.pkg, "integration") {
			continue
		}
		// Who needs more says why in the package's doc.
		if f.syntax.Doc != nil && strings.Contains(strings.Join(strings.Fields(f.syntax.Doc.Text()), " "), "imports more than nine of our packages: ") {
			reasons[f.pkg] = true
		}
		for _, i := range f.imports {
			if pkg, ours := strings.CutPrefix(i, module+"/"); ours && !slices.Contains(imports[f.pkg], pkg) {
				imports[f.pkg] = append(imports[f.pkg], pkg)
			}
		}
	}
	for pkg, list := range imports {
		if len(list) > most && pkg != "authcore" && !reasons[pkg] {
			t.Errorf("%s imports %d of our packages and its doc does not say why: only authcore composes", pkg, len(list))
		}
	}
}
