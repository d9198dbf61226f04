package conformance

import (
	"maps"
	"slices"
	"testing"
)

// modules maps the names of a plan's modules to what shows them.
type modules map[string]func(*party)

// plan is a certification profile of the suite.
type plan struct {
	name string
	mode string   // response_mode of its requests
	has  []string // its modules
	show modules
}

// plans are the four profiles, with the modules that the suite's test plans list.
func plans() []plan {
	basic := []string{
		"oidcc-server", "oidcc-response-type-missing", "oidcc-idtoken-signature", "oidcc-idtoken-unsigned",
		"oidcc-userinfo-get", "oidcc-userinfo-post-header", "oidcc-userinfo-post-body",
		"oidcc-ensure-request-without-nonce-succeeds-for-code-flow",
		"oidcc-scope-profile", "oidcc-scope-email", "oidcc-scope-address", "oidcc-scope-phone", "oidcc-scope-all",
		"oidcc-ensure-other-scope-order-succeeds", "oidcc-display-page", "oidcc-display-popup",
		"oidcc-prompt-login", "oidcc-prompt-none-not-logged-in", "oidcc-prompt-none-logged-in",
		"oidcc-max-age-1", "oidcc-max-age-10000", "oidcc-ensure-request-with-unknown-parameter-succeeds",
		"oidcc-id-token-hint", "oidcc-login-hint", "oidcc-ui-locales", "oidcc-claims-locales",
		"oidcc-ensure-request-with-acr-values-succeeds", "oidcc-codereuse",
		"oidcc-ensure-registered-redirect-uri", "oidcc-ensure-post-request-succeeds", "oidcc-server-client-secret-post",
		"oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported",
		"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported",
		"oidcc-claims-essential", "oidcc-ensure-request-object-with-redirect-uri",
		"oidcc-refresh-token", "oidcc-ensure-request-with-valid-pkce-succeeds",
		"oidcc-codereuse-30seconds", // last, for it waits
	}
	logout := []string{
		"oidcc-rp-initiated-logout-discovery-endpoint-verification", "oidcc-rp-initiated-logout",
		"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", "oidcc-rp-initiated-logout-modified-id-token-hint",
		"oidcc-rp-initiated-logout-no-id-token-hint", "oidcc-rp-initiated-logout-no-params",
		"oidcc-rp-initiated-logout-no-post-logout-redirect-uri", "oidcc-rp-initiated-logout-no-state",
		"oidcc-rp-initiated-logout-only-state", "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri",
		"oidcc-rp-initiated-logout-bad-id-token-hint",
	}
	return []plan{
		{"Config OP", "", []string{"oidcc-discovery-endpoint-verification"}, configModules()},
		{"RP-Initiated Logout OP", "", logout, logoutModules()},
		{"Basic OP", "", basic, basicModules()},
		{"Form Post OP", formPost, basic, basicModules()},
	}
}

// TestModules shows every module of every plan on both embedded stores.
func TestModules(t *testing.T) {
	for _, setup := range setups() {
		t.Run(setup.store, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup)
			for _, mode := range []string{"", formPost} {
				w.reuseLater(t, mode) // its half minute passes while the others run
			}
			for _, plan := range plans() {
				t.Run(plan.name, func(t *testing.T) {
					for _, name := range plan.has {
						if show := plan.show[name]; show != nil {
							t.Run(name, func(t *testing.T) { show(newParty(t, w, plan.mode)) })
						}
					}
				})
			}
		})
	}
}

// TestNoModuleIsDropped holds the plans to what is shown: a module without a
// story fails here, and so does a story that no plan names.
func TestNoModuleIsDropped(t *testing.T) {
	for _, plan := range plans() {
		if want, got := slices.Sorted(slices.Values(plan.has)), slices.Sorted(maps.Keys(plan.show)); !slices.Equal(want, got) {
			t.Errorf("%s has the modules\n%q, shown are\n%q", plan.name, want, got)
		}
		for name, show := range plan.show {
			if show == nil {
				t.Errorf("%s: nothing shows %s", plan.name, name)
			}
		}
	}
}
