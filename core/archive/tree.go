package archive

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"enjambre/core"
)

// maxTreeBytes bounds the bytes of names and link targets that a walk remembers. 100 000 entries may
// have 80 bytes each in the last part of their names, which no honest archive needs.
const maxTreeBytes = 8 << 20

// A tree remembers the entries seen so far by the parts of their names. Names that the operating
// system or a person takes for the same share a place in it: those that differ in Unicode
// normalization only, and for Windows also in case.
type tree struct {
	folds bool // Windows: case does not count
	fold  cases.Caser
	nodes []node
	index map[place]int32 // into nodes
	bytes int             // of the names in nodes and in index
}

// A node is one entry, listed or implied.
type node struct {
	part string // as first seen
	typ  Type
}

// A place is where a part stands in the tree.
type place struct {
	parent int32 // into nodes; rootNode at the top
	key    string
}

const (
	rootNode = int32(-1)
	noNode   = int32(-2) // nothing is there, and nothing is below it
)

func newTree(os core.OS) *tree {
	return &tree{folds: os == core.Windows, fold: cases.Fold(), index: map[place]int32{}}
}

// key returns what all spellings of part have in common.
func (t *tree) key(part string) string {
	if !t.folds {
		return norm.NFC.String(part)
	}
	for i := range len(part) {
		if part[i] >= utf8.RuneSelf {
			return norm.NFC.String(t.fold.String(norm.NFC.String(part)))
		}
	}
	return strings.ToLower(part)
}

// child returns the node of part in the folder parent, or noNode.
func (t *tree) child(parent int32, part string) int32 {
	if parent == noNode {
		return noNode
	}
	if at, known := t.index[place{parent, t.key(part)}]; known {
		return at
	}
	return noNode
}

// typeOf returns what a node is; 0 if there is none.
func (t *tree) typeOf(at int32) Type {
	switch at {
	case noNode:
		return 0
	case rootNode:
		return Dir
	}
	return t.nodes[at].typ
}

// put adds an entry and the folders that its name implies. It returns how many of the parts were
// there before: all of them for a folder that is listed again. A refusal leaves the tree as it was.
func (t *tree) put(parts []string, typ Type) (known int, err error) {
	at := rootNode
	for known < len(parts) {
		next := t.child(at, parts[known])
		if next == noNode {
			break
		}
		isLast := known == len(parts)-1
		if err := t.conflict(next, parts[known], typ, isLast); err != nil {
			return 0, err
		}
		at = next
		known++
	}
	for i := known; i < len(parts); i++ {
		partType := Dir
		if i == len(parts)-1 {
			partType = typ
		}
		at = t.add(at, parts[i], partType)
	}
	return known, nil
}

// add makes a node. It copies the strings, which would keep whole names alive otherwise.
func (t *tree) add(parent int32, part string, typ Type) int32 {
	part = strings.Clone(part)
	key := t.key(part)
	t.bytes += len(key)
	if key != part {
		t.bytes += len(part)
	}
	t.nodes = append(t.nodes, node{part, typ})
	at := int32(len(t.nodes) - 1) // the limit of entries keeps it far below 2^31
	t.index[place{parent, key}] = at
	return at
}

// conflict refuses an entry of type typ whose name has a part that is the node at, unless both are
// folders, spelled alike. For the last part of the name isLast is true; the others need a folder.
func (t *tree) conflict(at int32, part string, typ Type, isLast bool) error {
	other := t.nodes[at]
	switch {
	case other.part != part:
		return core.Refuse(core.ClassName, "has the part %s, which is the same as %s of another entry but for %s",
			showable(part), showable(other.part), t.difference())
	case !isLast && other.typ == Symlink:
		return core.Refuse(core.ClassLink, "would be unpacked through the link %s", showable(part))
	case !isLast && other.typ != Dir:
		return core.Refuse(core.ClassName, "is below %s, which is not a folder", showable(part))
	case !isLast || typ == Dir && other.typ == Dir:
		return nil
	case typ == Symlink || other.typ == Symlink:
		return core.Refuse(core.ClassLink, "is in the archive twice, once as a link")
	default:
		return core.Refuse(core.ClassName, "is in the archive twice")
	}
}

// difference says what does not count between names.
func (t *tree) difference() string {
	if t.folds {
		return "upper and lower case or Unicode normalization"
	}
	return "Unicode normalization"
}

// find reports whether name is a regular file; its spelling counts unless case does not.
func (t *tree) find(parts []string) bool {
	at := rootNode
	for _, part := range parts {
		at = t.child(at, part)
		if at == noNode || !t.folds && t.nodes[at].part != part {
			return false
		}
	}
	return t.typeOf(at) == File
}
