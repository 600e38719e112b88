package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// delivered are the items of the product's list that stand in the product now.
// Each is named in the test that proves it.
var delivered = [][2]int{{1, 53}, {55, 139}}

var (
	productCitation = regexp.MustCompile(`\b[Pp]roduct (\d+(?:(?:, (?:and )?| and | to |–|-)\d+)*)`)
	productPart     = regexp.MustCompile(`(\d+)(?:(?: to |–|-)(\d+))?`)
)

// named gives the items that a text names: "product 24", "product 24, 33 and
// 130", "product 121 to 123".
func named(text string) []int {
	var items []int
	for _, m := range productCitation.FindAllStringSubmatch(text, -1) {
		for _, p := range productPart.FindAllStringSubmatch(m[1], -1) {
			from, _ := strconv.Atoi(p[1])
			to := from
			if p[2] != "" {
				to, _ = strconv.Atoi(p[2])
			}
			for i := from; i <= to && i < from+50; i++ {
				items = append(items, i)
			}
		}
	}
	return items
}

func TestEveryProductItemIsNamedInATest(t *testing.T) {
	seen := map[int]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, "_test.go") || path == filepath.Join("..", "docs", "product_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, i := range named(string(text)) {
			seen[i] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range delivered {
		for i := r[0]; i <= r[1]; i++ {
			if !seen[i] {
				t.Errorf("no test names product %d", i)
			}
		}
	}
}

func TestNamed(t *testing.T) {
	for text, want := range map[string]int{
		"product 24": 1, "(product 24, 33 and 130)": 3, "Product 121 to 123": 3, "product 12–14": 3, "products 4": 0, "product, 4": 0,
	} {
		if got := named(text); len(got) != want {
			t.Errorf("%q names %v", text, got)
		}
	}
}
