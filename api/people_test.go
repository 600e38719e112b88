package api

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/sessions"
)

func init() {
	maps.Copy(bodies, map[string]object{
		"putUserAccess": {"expiration_in_seconds": 300}, "createInvitations": {"emails": []string{"walk@invited.example"}}, "createInviteLink": {},
	})
	worldSteps = append(worldSteps, func(post func(string, object) object, t string, w map[string]string) {
		rows := data(post(t+"/invitations", object{"emails": []string{"world@invited.example"}}))
		w["inv"] = text(rows[0]["invitation"].(object), "id")
		w["lnk"] = text(post(t+"/invite-links", object{}), "id")
		w["user"], w["ses"] = w["u"], "ses_"+strings.Repeat("a", 26)
	})
}

// product 24, 29, 30, 33 and 130 on the wire: rows, the limit of five as 400, and the
// batch that a domain refuses as a whole.
func TestInvitationRoutes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		const at = "/tenants/acme/invitations"
		var six []string
		for i := range 6 {
			six = append(six, "p"+strconv.Itoa(i)+"@x.example")
		}
		f.refused(400, "bulk_limit", "POST", at, object{"emails": six})
		f.refused(422, "duplicate", "POST", at, object{"emails": []string{"a@x.example"}, "people": []object{{"email": "A@x.example"}}})
		f.do(200, "PUT", "/tenants/acme/policies/domains", object{"enabled": true, "mode": "deny", "domains": []string{"rival.example"}})
		f.refused(422, "domain_not_allowed", "POST", at, object{"emails": []string{"a@x.example", "spy@rival.example"}})
		if n := len(data(f.do(200, "GET", at, nil))); n != 0 {
			t.Fatalf("%d invitations of refused batches", n)
		}
		// A fault names its row, and the field in it.
		for at, in := range map[string]object{
			"people[1].first_name": {"emails": []string{"a@x.example"}, "people": []object{{"email": "b@x.example"}, {"email": "c@x.example", "first_name": "a\u0007"}}},
			"people[0].email":      {"emails": []string{"a@x.example"}, "people": []object{{"email": "spy@rival.example"}}},
			"emails[1]":            {"emails": []string{"a@x.example", "nobody"}},
		} {
			problem := f.do(422, "POST", "/tenants/acme/invitations", in)
			if got := text(problem["errors"].([]any)[0].(object), "location"); got != "body."+at {
				t.Errorf("field %q, want %q", got, at)
			}
		}
		f.do(201, "POST", "/tenants/acme/users", object{"email": "here@x.example"})
		there := text(f.do(201, "POST", "/tenants/acme/users", object{"email": "there@x.example"}), "id")
		f.refused(409, "user_exists", "PATCH", "/tenants/acme/users/"+there, object{"email": "Here@x.example"})
		for _, row := range data(f.do(201, "POST", at, object{"emails": []string{"here@x.example", "there@x.example"}})) {
			if row["invitation"] != nil || text(row["error"].(object), "code") != "user_exists" {
				t.Errorf("every row refused: %v", row)
			}
		}
		out := data(f.do(201, "POST", at, object{
			"people": []object{{"email": "a@x.example", "first_name": "Ada", "last_name": "Byron"}, {"email": "here@x.example"}}, "access_period_seconds": 86400,
		}))
		first, ok := out[0]["invitation"].(object)
		if !ok || first["access_expires_at"] == nil || out[0]["error"] != nil || out[1]["invitation"] != nil || text(out[1]["error"].(object), "code") != "user_exists" {
			t.Fatalf("%v", out)
		}
		one := at + "/" + text(first, "id")
		f.do(200, "GET", one, nil)
		user := f.do(200, "GET", "/tenants/acme/users/"+text(first, "user_id"), nil)
		if user["status"] != "invited" || user["guest"] != true || user["resend_activation"] != true || user["usable"] != false || user["first_name"] != "Ada" {
			t.Errorf("%v", user)
		}
		res := f.send("POST", "/api/v1"+one+":resend", nil)
		if res.StatusCode != 429 || res.Header.Get("Retry-After") != "60" {
			t.Errorf("resend: %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
		}
		f.clock.Advance(time.Minute)
		if again := f.do(200, "POST", one+":resend", nil); again["sends"] != 2.0 {
			t.Errorf("%v", again)
		}
		// product 35: of a disabled user the mail is not offered, and not sent.
		u := "/tenants/acme/users/" + text(first, "user_id")
		if got := f.do(200, "POST", u+":disable", nil); got["resend_activation"] != false {
			t.Error("the mail of a disabled user is offered")
		}
		f.clock.Advance(time.Minute)
		f.refused(409, "user_disabled", "POST", u+":resend-activation", nil)
		f.do(200, "POST", u+":enable", nil)
		f.do(200, "POST", u+":resend-activation", nil)
		f.refused(409, "not_pending_approval", "POST", u+":approve", nil)
		f.refused(409, "user_invited", "PATCH", u, object{"email": "other@x.example"})
		f.do(204, "DELETE", u, nil) // withdraws the invitation
		f.refused(404, "invitation_not_found", "GET", one, nil)
		f.refused(404, "invitation_not_found", "DELETE", one, nil)

		// An invitation is one way of createUser.
		made := f.do(201, "POST", "/tenants/acme/users", object{"email": "c@x.example", "send_invitation": true, "expires_in_seconds": 300, "metadata": object{"k": "v"}})
		if made["status"] != "invited" || made["guest"] != true || made["metadata"].(object)["k"] != "v" {
			t.Errorf("%v", made)
		}
		f.refused(409, "already_invited", "POST", "/tenants/acme/users", object{"email": "c@x.example", "send_invitation": true})
		f.refused(422, "domain_not_allowed", "POST", "/tenants/acme/users", object{"email": "c@rival.example", "send_invitation": true})
		f.do(200, "PATCH", "/environment", object{"features": object{"invitations": false, "invite_links": false, "guests": false}})
		f.clock.Advance(10 * time.Minute) // environments are read anew
		f.refused(403, "invitations_disabled", "POST", at, object{"emails": []string{"e@x.example"}})
		f.refused(403, "invite_links_disabled", "POST", "/tenants/acme/invite-links", object{})
		f.refused(403, "guests_disabled", "POST", "/tenants/acme/users", object{"email": "e@x.example", "expires_in_seconds": 300})
	})
}

// product 25: a person's link has his roles, and its address is shown once; the
// rights are asked for (product 37).
func TestInviteLinkRoutes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.admitPeople()
		tenant := text(f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"}), "id")
		maker := f.accountRole("maker", 4, "fe.secure.write.tenantInvites", "fe.secure.read.users", "fe.secure.delete.users")
		reader := f.accountRole("reader", 4, "fe.secure.read.users")
		p, weak := f.person(tenant, f.accountUser(tenant, "m@x.example", maker)), f.person(tenant, f.accountUser(tenant, "r@x.example", reader))
		const at = "/tenants/acme/invite-links"
		weak.wants(403, "forbidden", "POST", at, object{})
		p.wants(403, "role_level_too_strong", "POST", at, object{"role_ids": []string{f.roleByKey("admin")}})
		p.wants(422, "out_of_range", "POST", at, object{"max_uses": 1_000_000})
		l := p.wants(201, "", "POST", at, object{"max_uses": 3, "approval": true, "expires_in_minutes": 60})
		link, _ := url.Parse(text(l, "url"))
		if !strings.HasPrefix(link.Path, "/join/gwj_") || l["roles"] != "creator" || len(l["role_ids"].([]any)) != 1 || l["max_uses"] != 3.0 || l["approval"] != true {
			t.Errorf("%v", l)
		}
		one := at + "/" + text(l, "id")
		if got := weak.wants(200, "", "GET", one, nil); got["url"] != nil {
			t.Error("the address is shown again")
		}
		again := p.wants(200, "", "POST", one+":regenerate", nil)
		if again["url"] == l["url"] || text(again, "id") != text(l, "id") {
			t.Errorf("%v", again)
		}
		if list := data(weak.wants(200, "", "GET", at, nil)); len(list) != 1 {
			t.Errorf("%v", list)
		}
		weak.wants(403, "forbidden", "DELETE", one, nil)
		p.wants(204, "", "DELETE", one, nil)
		p.wants(404, "invite_link_not_found", "GET", one, nil)
	})
}

func (f *fixture) roleByKey(key string) string {
	f.Helper()
	var id string
	if err := f.d.QueryRow(f.Context(), `SELECT id FROM roles WHERE environment_id = $1 AND owner_tenant_id = '' AND key = $2`, f.envs[hostA], key).Scan(&id); err != nil {
		f.Fatal(err)
	}
	return id
}

// product 27, 28, 31, 32 and 34 to 38: access periods, who may do what to whom, and
// the sessions of others; product 122 for each of them.
func TestActionsOnUsers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.admitPeople()
		tenant := text(f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"}), "id")
		helpdesk := f.accountRole("helpdesk", 5, "fe.secure.read.*", "fe.secure.write.updateUser", "fe.secure.write.enableDisable", "fe.secure.write.users",
			"fe.secure.delete.sessions", "fe.secure.delete.users", "fe.secure.write.resendActivationEmail", "fe.secure.write.usersRoles")
		boss, peer := f.accountUser(tenant, "boss@x.example", f.roleByKey("admin")), f.accountUser(tenant, "peer@x.example", helpdesk)
		helper, reader := f.person(tenant, f.accountUser(tenant, "helper@x.example", helpdesk)), f.person(tenant, f.accountUser(tenant, "reader@x.example", f.roleByKey("read-only")))
		ses := f.signedIn(tenant, peer)
		bossSes := f.signedIn(tenant, boss)
		for _, act := range []struct {
			method, path string
			body         object
			status       int
		}{
			{"PUT", "/access", object{"expiration_in_seconds": 300}, 200},
			{"PUT", "/access", object{"expiration_in_seconds": nil}, 200},
			{"PATCH", "", object{"first_name": "Peer"}, 200},
			{"POST", ":disable", nil, 200},
			{"POST", ":enable", nil, 200},
			{"DELETE", "/sessions/" + ses, nil, 404}, // ended with the disabling
			{"DELETE", "/sessions", nil, 204},
			{"POST", ":logout", nil, 200},
			{"PUT", "/roles", object{"role_ids": []string{helpdesk}}, 200},
			{"DELETE", "", nil, 204},
		} {
			base := "/tenants/acme/users/"
			code := ""
			if act.status == 404 {
				code = "session_not_found"
			}
			reader.wants(403, "forbidden", act.method, base+peer+act.path, act.body) // product 37
			helper.wants(403, "target_level_too_strong", act.method, base+boss+strings.Replace(act.path, ses, bossSes, 1), act.body)
			helper.wants(act.status, code, act.method, base+peer+act.path, act.body)
		}
		f.refused(422, "validation_failed", "PUT", "/tenants/acme/users/"+boss+"/access", object{"expiration_in_seconds": 299})
		guest := f.do(200, "PUT", "/tenants/acme/users/"+boss+"/access", object{"expiration_in_seconds": 300})
		if guest["guest"] != true || guest["expires_at"] == nil || guest["expired"] != false {
			t.Errorf("%v", guest)
		}
		f.clock.Advance(300 * time.Second)
		if gone := f.do(200, "GET", "/tenants/acme/users/"+boss, nil); gone["expired"] != true || gone["usable"] != false {
			t.Errorf("%v", gone)
		}
		f.do(200, "PUT", "/tenants/acme/users/"+boss+"/access", object{"expiration_in_seconds": nil})
		ses = f.signedIn(tenant, boss)
		list := data(f.do(200, "GET", "/tenants/acme/users/"+boss+"/sessions", nil))
		if len(list) != 2 || text(list[0], "id") != ses || list[0]["method"] != "saml" {
			t.Errorf("%v", list)
		}
		f.do(204, "DELETE", "/tenants/acme/users/"+boss+"/sessions/"+ses, nil)
		if list = data(f.do(200, "GET", "/tenants/acme/users/"+boss+"/sessions", nil)); len(list) != 1 {
			t.Errorf("%v", list)
		}
		// If-Match holds for people as for all else.
		etag := f.send("GET", "/api/v1/tenants/acme/users/"+boss, nil).Header.Get("ETag")
		for want, match := range map[int]string{200: etag, 412: `"v999"`} {
			if res := f.sendWith(http.Header{"If-Match": {match}}, "PATCH", "/api/v1/tenants/acme/users/"+boss, object{"metadata": object{"team": "red", "n": 1}}); res.StatusCode != want {
				t.Errorf("If-Match %s: %d, want %d", match, res.StatusCode, want)
			}
		}
		if etag == "" {
			t.Error("no ETag")
		}
		f.refused(422, "invalid_metadata", "PATCH", "/tenants/acme/users/"+boss, object{"metadata": object{"x": strings.Repeat("y", 8<<10)}})
		many := object{}
		for i := range 51 {
			many["k"+strconv.Itoa(i)] = i
		}
		f.refused(422, "invalid_metadata", "PATCH", "/tenants/acme/users/"+boss, object{"metadata": many})
	})
}

// signedIn gives a person a session in the tenant.
func (f *fixture) signedIn(tenant, user string) string {
	f.Helper()
	p, err := f.h.Directory.PersonOf(f.Context(), f.d, tenant, user)
	if err != nil {
		f.Fatal(err)
	}
	f.clock.Advance(time.Second)
	var s sessions.Session
	err = f.d.Tx(f.Context(), func(q db.Queryer) (err error) {
		s, _, err = f.h.Sessions.Create(f.Context(), actor.Actor{Environment: f.envs[hostA], Kind: actor.User, Subject: user}, q, sessions.Login{
			Environment: f.envs[hostA], UserID: user, Proof: sessions.Proof{Tenant: tenant, Membership: p.Membership.ID, Method: "saml", AuthTime: f.clock.Now()},
		})
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	return s.ID
}

// The list's filters, and its cursor under each of them.
func TestUserFilters(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		const at = "/tenants/acme/users"
		add := func(o object) string {
			f.clock.Advance(time.Second)
			return text(f.do(201, "POST", at, o), "id")
		}
		add(object{"email": "Ada@x.example", "first_name": "Ada", "last_name": "Byron"})
		emile := add(object{"email": "em@x.example", "display_name": "Émile Zola"})
		add(object{"email": "grace@x.example", "first_name": "Grace", "last_name": "Hopper", "expires_in_seconds": 300})
		add(object{"email": "ada.two@x.example", "send_invitation": true})
		f.do(200, "POST", at+"/"+emile+":disable", nil)
		all := func(query string) (emails []string) {
			t.Helper()
			cursor := ""
			for range 10 {
				page := f.do(200, "GET", at+"?limit=1&"+query+cursor, nil)
				for _, u := range data(page) {
					emails = append(emails, text(u, "email"))
				}
				next, _ := page["next_cursor"].(string)
				if next == "" {
					break
				}
				cursor = "&cursor=" + url.QueryEscape(next)
			}
			return emails
		}
		for query, want := range map[string]string{
			"":      "Ada@x.example em@x.example grace@x.example ada.two@x.example",
			"q=ADA": "Ada@x.example ada.two@x.example", "q=grace@": "grace@x.example", "q=em": "em@x.example", "q=byron": "", "q=%25": "", "q=_": "",
			"status=invited": "ada.two@x.example", "status=active&disabled=false": "Ada@x.example grace@x.example", "disabled=true": "em@x.example",
			"guests=true": "grace@x.example", "guests=false&status=active": "Ada@x.example em@x.example", "email=ada%40X.example": "Ada@x.example",
		} {
			if got := strings.Join(all(query), " "); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
		f.refused(422, "validation_failed", "GET", at+"?status=gone", nil)
		f.refused(422, "invalid_characters", "GET", at+"?q=%01", nil)
	})
}

// product 10, 36, 137 and 138: the vendor finds a user with all his tenants, adds
// him to another, locks and unlocks him, and deletes him.
func TestUsersOfTheEnvironment(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.admitPeople()
		a := text(f.do(201, "POST", "/tenants", object{"name": "A", "key": "a"}), "id")
		f.do(201, "POST", "/tenants", object{"name": "B", "key": "b"})
		id := text(f.do(201, "POST", "/tenants/a/users", object{"email": "ada@x.example"}), "id")
		admin := f.person(a, f.accountUser(a, "admin@x.example", f.roleByKey("admin")))
		admin.wants(422, "vendor_only", "POST", "/tenants/a/users", object{"user_id": id, "email": "ada@x.example"})
		admin.wants(403, "forbidden", "GET", "/users?email=ada%40x.example", nil)
		f.do(201, "POST", "/tenants/b/users", object{"user_id": id})
		f.refused(409, "user_exists", "POST", "/tenants/b/users", object{"user_id": id})
		f.refused(404, "user_not_found", "POST", "/tenants/b/users", object{"user_id": "usr_x"})
		found := data(f.do(200, "GET", "/users?email=ADA%40x.example", nil))
		if len(found) != 1 || text(found[0], "id") != id || len(found[0]["memberships"].([]any)) != 2 {
			t.Fatalf("%v", found)
		}
		f.signedIn(a, id)
		if got := f.do(200, "POST", "/users/"+id+":lock", nil); got["locked_at"] == nil {
			t.Errorf("%v", got)
		}
		if list := data(f.do(200, "GET", "/tenants/a/users/"+id+"/sessions", nil)); len(list) != 0 {
			t.Errorf("sessions of a locked user: %v", list)
		}
		for _, tenant := range []string{"a", "b"} {
			if got := f.do(200, "GET", "/tenants/"+tenant+"/users/"+id, nil); got["usable"] != false || got["disabled"] != false {
				t.Errorf("%v", got)
			}
		}
		if got := f.do(200, "POST", "/users/"+id+":unlock", nil); got["locked_at"] != nil {
			t.Errorf("%v", got)
		}
		// By a person's permission, as by the vendor's key (product 36), and per tenant.
		admin.wants(200, "", "POST", "/tenants/a/users/"+id+":disable", nil)
		if got := f.do(200, "GET", "/tenants/b/users/"+id, nil); got["usable"] != true {
			t.Errorf("%v", got)
		}
		f.do(204, "DELETE", "/tenants/a/users/"+id, nil)
		f.do(200, "GET", "/users/"+id, nil)
		f.do(204, "DELETE", "/users/"+id, nil)
		f.refused(404, "user_not_found", "GET", "/users/"+id, nil)
		last := text(f.do(201, "POST", "/tenants/a/users", object{"email": "last@x.example"}), "id")
		f.do(204, "DELETE", "/tenants/a/users/"+last, nil)
		f.refused(404, "user_not_found", "GET", "/users/"+last, nil)
	})
}

// People whom a directory keeps are changed there (product 2.4); their metadata and
// access period are ours.
func TestUsersOfADirectory(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		id := text(f.do(201, "POST", "/tenants/acme/users", object{"email": "ada@x.example"}), "id")
		if _, err := d.Exec(t.Context(), `UPDATE memberships SET managed_by = 'scim' WHERE user_id = $1`, id); err != nil {
			t.Fatal(err)
		}
		u := "/tenants/acme/users/" + id
		f.refused(409, "user_idp_managed", "PATCH", u, object{"first_name": "x"})
		f.refused(409, "user_idp_managed", "DELETE", u, nil)
		f.refused(409, "user_idp_managed", "DELETE", "/users/"+id, nil)
		f.do(200, "PATCH", u, object{"metadata": object{"plan": "gold"}})
		f.do(200, "PUT", u+"/access", object{"expiration_in_seconds": 3600})
		f.do(200, "POST", u+":disable", nil)
	})
}
