package pool

import (
	"slices"
	"testing"
)

func TestTheAdminScopeIsForOperators(t *testing.T) {
	p := &Pool{Issuer: "https://login.example.com"}
	asked := []string{ScopeOpenID, ScopeAdmin}
	if got := p.MayGrant(&User{Groups: []string{OperatorsGroup}}, asked); !slices.Equal(got, asked) {
		t.Errorf("an operator may grant %v", got)
	}
	if got := p.MayGrant(&User{Groups: []string{"staff"}}, asked); !slices.Equal(got, []string{ScopeOpenID}) {
		t.Errorf("somebody else may grant %v", got)
	}
	if len(asked) != 2 || asked[1] != ScopeAdmin {
		t.Errorf("the caller's list was changed: %v", asked)
	}
}

// A client that may ask for the scope gets it only when it does.
func TestTheAdminScopeIsNoDefault(t *testing.T) {
	api := AdminAPI("https://login.example.com")
	p := &Pool{Issuer: "https://login.example.com", Resources: map[string]*Resource{api.ID: api}}
	for _, c := range []*Client{
		{Scopes: []string{ScopeOpenID, ScopeAdmin}, Resources: []string{api.ID}},
		{Scopes: []string{ScopeOpenID, ScopeAdmin}, DefaultScopes: []string{ScopeAdmin, ScopeOpenID}, Resources: []string{api.ID}},
	} {
		got, err := ResolveTarget(p, c, nil, nil)
		if err != nil || !slices.Equal(got.Granted, []string{ScopeOpenID}) || got.Audience != p.Issuer {
			t.Errorf("without a scope: %+v, %v", got, err)
		}
		got, err = ResolveTarget(p, c, []string{ScopeAdmin}, nil)
		if err != nil || !slices.Equal(got.Granted, []string{ScopeAdmin}) || got.Audience != api.ID {
			t.Errorf("with the scope: %+v, %v", got, err)
		}
	}
}

// A machine asks for it as well.
func TestTheAdminScopeIsNoDefaultOfMachines(t *testing.T) {
	api := AdminAPI("https://login.example.com")
	p := &Pool{Issuer: "https://login.example.com", Resources: map[string]*Resource{api.ID: api}}
	c := &Client{MachineScopes: []string{ScopeAdmin}, Resources: []string{api.ID}}
	if got, err := ResolveMachineTarget(p, c, nil, nil); err != nil || len(got.Granted) != 0 || got.Audience != p.Issuer {
		t.Errorf("without a scope: %+v, %v", got, err)
	}
	if got, err := ResolveMachineTarget(p, c, []string{ScopeAdmin}, nil); err != nil || !slices.Equal(got.Granted, []string{ScopeAdmin}) || got.Audience != api.ID {
		t.Errorf("with the scope: %+v, %v", got, err)
	}
}
