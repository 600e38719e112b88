package sessions

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
)

// A tenant's log does not tell from which other tenant a session was ended, nor
// from which account above that (identity rule 1).
func TestSeenFrom(t *testing.T) {
	by := actor.Actor{Tenant: "child", Home: "parent", Kind: actor.User, Subject: "usr_admin", Name: "Ada", Email: "ada@parent.example", Session: "ses_1"}
	if got := seenFrom(by, part{"other", "usr_1"}); got.Tenant != "other" || got.Home+got.Subject+got.Name+got.Email+got.Session != "" {
		t.Errorf("elsewhere: %+v", got)
	}
	if got := seenFrom(by, part{"child", "usr_1"}); got.Home != "parent" || got.Subject != "usr_admin" {
		t.Errorf("where he acts: %+v", got)
	}
	if got := seenFrom(by, part{"other", "usr_admin"}); got.Subject != "usr_admin" || got.Home+got.Email != "" {
		t.Errorf("of himself: %+v", got)
	}
}
