package provider

import (
	"encoding/json"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// product 2.2: what applications keep of a member stands in his access tokens, and
// costs no statement; a member without any has no such claim.
func TestMetadataClaim(t *testing.T) {
	each(t, func(w *world) {
		b := w.browser()
		first := b.signedIn("ada@acme.com")
		if claims := w.part(first.Access, 1); claims["metadata"] != nil {
			w.Errorf("%v", claims)
		}
		const metadata = `{"plan":"gold","seats":[1,2],"team":{"name":"red"}}`
		w.tx(func(q db.Queryer) error {
			_, err := q.Exec(w.ctx(), `UPDATE memberships SET metadata = $1 WHERE email_key = 'ada@acme.com'`, metadata)
			return err
		})
		next := b.refresh(first.Refresh)
		got, err := json.Marshal(w.part(next.Access, 1)["metadata"])
		if err != nil || string(got) != metadata {
			w.Errorf("%s, %v", got, err)
		}
		if next.ID != "" && w.part(next.ID, 1)["metadata"] != nil {
			w.Error("the ID token carries it too")
		}
	})
}
