package scim

import (
	"strconv"

	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// etag is the entity tag of a resource's version.
func etag(version int64) string { return `W/"` + strconv.FormatInt(version, 10) + `"` }

func (c *call) location(k schema.Kind, id string) string { return c.base + k.Endpoint() + "/" + id }

// meta is the common attribute of RFC 7643 §3.1.
func (c *call) meta(k schema.Kind, r row) *schema.Object {
	o := schema.NewObject(5)
	o.Set("resourceType", k.String())
	o.Set("created", schema.FormatTime(r.Created))
	o.Set("lastModified", schema.FormatTime(r.Modified))
	o.Set("location", c.location(k, r.ID))
	o.Set("version", etag(r.Version))
	return o
}

// full is the whole resource as the matcher and projections see it, but for
// members and groups.
func (c *call) full(k schema.Kind, r row) (*schema.Object, error) {
	doc, err := schema.Decode([]byte(r.Doc))
	if err != nil {
		return nil, err
	}
	doc.Set("id", r.ID)
	doc.Set("meta", c.meta(k, r))
	return doc, nil
}

// appendHead appends the resource up to, and without, its last brace, so that
// members can be streamed behind it. Without a mask the stored text is copied.
func (c *call) appendHead(dst []byte, k schema.Kind, r row, m *mask, groups []any) ([]byte, error) {
	if m == nil && len(r.Doc) > 2 {
		dst = append(dst, r.Doc[:len(r.Doc)-1]...)
		dst = append(dst, `,"id":"`...)
		dst = append(dst, r.ID...)
		dst = append(dst, `","meta":`...)
		dst = c.meta(k, r).AppendJSON(dst)
		if len(groups) > 0 {
			dst = append(dst, `,"groups":`...)
			dst = schema.AppendJSON(dst, groups)
		}
		return dst, nil
	}
	doc, err := c.full(k, r)
	if err != nil {
		return nil, err
	}
	if len(groups) > 0 {
		doc.Set("groups", groups)
	}
	dst = m.apply(doc).AppendJSON(dst)
	return dst[:len(dst)-1], nil
}

// groupOf is an element of a user's groups (RFC 7643 §4.1.2).
func (c *call) groupOf(id, name string) *schema.Object {
	o := schema.NewObject(4)
	o.Set("value", id)
	o.Set("$ref", c.location(schema.Group, id))
	o.Set("display", name)
	o.Set("type", "direct")
	return o
}

// memberParts is what of the members of a group is to be sent.
type memberParts struct{ value, ref, kind bool }

func partsOf(m *mask) memberParts {
	return memberParts{value: m.keeps("members", "value"), ref: m.keeps("members", "$ref"), kind: m.keeps("members", "type")}
}

// appendMember appends an element of a group's members (RFC 7643 §4.2), of which
// some part is wanted. Ids and kinds need no escaping.
func (c *call) appendMember(dst []byte, id, kind string, p memberParts) []byte {
	begin := len(dst)
	if p.value {
		dst = append(dst, `,"value":"`...)
		dst = append(append(dst, id...), '"')
	}
	if p.ref {
		dst = append(append(dst, `,"$ref":"`...), c.base...)
		dst = append(append(append(dst, '/'), kind...), `s/`...)
		dst = append(append(dst, id...), '"')
	}
	if p.kind {
		dst = append(append(dst, `,"type":"`...), kind...)
		dst = append(dst, '"')
	}
	dst[begin] = '{' // for the comma of the first part
	return append(dst, '}')
}
