package scim

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// FuzzBulk takes a body through everything that a bulk request does before its
// first operation, and through the graph of its references: no panic, no endless
// walk, and no operation that is neither refused nor complete.
func FuzzBulk(f *testing.F) {
	for _, s := range []string{
		`{"Operations":[]}`,
		`{"failOnErrors":1,"Operations":[{"method":"POST","path":"/Users","bulkId":"a","data":{"userName":"a"}}]}`,
		`{"Operations":[{"method":"POST","path":"/Groups","bulkId":"a","data":{"members":[{"value":"bulkId:b"}]}},{"method":"POST","path":"/Groups","bulkId":"b","data":{"members":[{"value":"bulkId:a"}]}}]}`,
		`{"Operations":[{"method":"POST","path":"/Groups","bulkId":"a","data":{"urn:x:y":{"m":"bulkId:a"},"members":[{"value":"bulkId:a"}]}}]}`,
		`{"Operations":[{"method":"patch","path":"/Users/bulkId:a","version":"W/\"1\"","data":{"Operations":[{"op":"add","path":"x","value":"bulkId:zz"}]}},{"method":"DELETE","path":"Groups/res_1"}]}`,
		`{"operations":[1,null,[],{"method":7},{"path":"/Users//"},{"method":"POST","path":"/Users","bulkId":"x","data":"y"}],"FailOnErrors":"3"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := schema.Decode(body)
		if err != nil {
			return
		}
		ops, byID, failOn, err := parseBulk(doc)
		if err != nil {
			if _, known := onWire(err); !known {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		if len(ops) > schema.MaxOperations || failOn < 0 {
			t.Fatalf("%d operations, failOnErrors %d", len(ops), failOn)
		}
		b := &bulkRun{c: &call{}, ops: ops, byID: byID, failOn: failOn}
		for _, op := range ops {
			switch {
			case op.err != nil && (op.status < 400 || op.status > 499):
				t.Fatalf("refused with %d", op.status)
			case op.err != nil:
				continue
			case op.method != "DELETE" && op.data == nil, op.method == "POST" && op.bulkID == "", op.method != "POST" && op.target == "":
				t.Fatalf("incomplete operation %+v", op)
			}
			_ = b.missing(op)
			if op.data == nil {
				continue
			}
			before := string(op.data.Bytes())
			original := op.data
			op.postpone(b)
			if string(original.Bytes()) != before {
				t.Fatal("postpone changed the client's document")
			}
			for _, ref := range op.refs {
				if other := byID[ref]; other != nil && !other.done && topLevel(op.data, ref) {
					t.Fatalf("reference to %q is left in %s", ref, op.data.Bytes())
				}
			}
			b.resolved(op.data)
		}
		b.response()
	})
}

// topLevel reports whether an attribute of the resource names the reference.
func topLevel(o *schema.Object, ref string) bool {
	for _, v := range o.All() {
		if v == bulkPrefix+ref {
			return true
		}
	}
	return false
}
