package verify

import "testing"

// TestMappedEmailAttribute is the way out of C7 for a provider whose usual
// e-mail attributes differ on purpose: the connection names the one that counts.
func TestMappedEmailAttribute(t *testing.T) {
	attributes := []Attribute{
		{Name: "mail", Values: []string{"ada@acme.example"}},
		{Name: "email", FriendlyName: "mail", Values: []string{"ada.private@mail.example"}},
	}
	if !ambiguousEmail(attributes, "") {
		t.Error("different addresses under usual names pass without a mapping")
	}
	if ambiguousEmail(attributes, "Mail") {
		t.Error("the mapped attribute has one address, and is refused")
	}
	twice := append(attributes, Attribute{Name: "MAIL", Values: []string{"eve@acme.example"}})
	if !ambiguousEmail(twice, "mail") {
		t.Error("the mapped attribute has two addresses, and passes")
	}
}
