package idp

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Person is somebody whom the identity provider knows.
type Person struct {
	// ID is the stable subject: OIDC sub, persistent NameID and the attribute
	// "id". Made from the e-mail when empty.
	ID          string
	Email       string
	FirstName   string
	LastName    string
	DisplayName string // first and last name, or the e-mail, when empty
	Groups      []string
	// Attributes are sent besides, in SAML as attributes and in OIDC as claims
	// (one value as a string, several as an array).
	Attributes map[string][]string
	// EmailUnverified sends email_verified: false.
	EmailUnverified bool
}

// Name is what pages and the name claim show.
func (p Person) Name() string {
	if p.DisplayName != "" {
		return p.DisplayName
	}
	if name := strings.TrimSpace(p.FirstName + " " + p.LastName); name != "" {
		return name
	}
	return p.Email
}

// AddPerson adds a person, or replaces the one with the same ID or e-mail.
func (i *IdP) AddPerson(p Person) {
	if p.ID == "" {
		sum := sha256.Sum256([]byte(strings.ToLower(p.Email)))
		p.ID = hex.EncodeToString(sum[:10])
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for n, o := range i.people {
		if o.ID == p.ID || strings.EqualFold(o.Email, p.Email) {
			i.people[n] = p
			return
		}
	}
	i.people = append(i.people, p)
}

// RemovePerson forgets the person with the e-mail.
func (i *IdP) RemovePerson(email string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.people = slices.DeleteFunc(i.people, func(p Person) bool { return strings.EqualFold(p.Email, email) })
}

// Person finds somebody by ID or e-mail.
func (i *IdP) Person(idOrEmail string) (Person, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.people {
		if idOrEmail != "" && (p.ID == idOrEmail || strings.EqualFold(p.Email, idOrEmail)) {
			return p, true
		}
	}
	return Person{}, false
}

// People are all who can log in, in their order.
func (i *IdP) People() []Person {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.people)
}

// automatic is the person whom AutoLogin logs in.
func (i *IdP) automatic(hint string) (Person, bool) {
	if !i.auto {
		return Person{}, false
	}
	if p, ok := i.Person(hint); ok {
		return p, true
	}
	people := i.People()
	if len(people) == 0 {
		return Person{}, false
	}
	return people[0], true
}
