package archive

import (
	"strings"
	"unicode/utf8"

	"enjambre/core"
)

// A link is a symbolic link, to be judged and delivered when everything else is known.
type link struct {
	name, target string
	position     int // in the archive
}

// checkTarget refuses a target that could lead out of the archive.
//
// The rule: the target is relative, its ".." parts never climb above the archive's root, and no part
// of it but the last is itself a link. Then reading the path as text and following it on disk come to
// the same place: only folders of the archive are passed. If the last part is a link, the rule
// holds for that one too, so a chain of links never leaves. What the target names need not be there.
func (t *tree) checkTarget(name, target string) error {
	if err := checkTargetText(target); err != nil {
		return err
	}
	way := []int32{rootNode} // the nodes from the root to where we are
	parts := strings.Split(name, "/")
	for _, part := range parts[:len(parts)-1] {
		way = append(way, t.child(way[len(way)-1], part))
	}
	for _, part := range strings.Split(target, "/") {
		here := way[len(way)-1]
		if part == "" || part == "." {
			continue // as on disk: both stay where they are, and a link here is refused by the next part
		}
		if t.typeOf(here) == Symlink {
			return core.Refuse(core.ClassLink, "is a link to %s, which passes through another link", showable(target))
		}
		if part != ".." {
			way = append(way, t.child(here, part))
			continue
		}
		if len(way) == 1 {
			return core.Refuse(core.ClassLink, "is a link to %s, outside the archive", showable(target))
		}
		way = way[:len(way)-1]
	}
	return nil
}

// checkTargetText refuses targets that are no relative path.
func checkTargetText(target string) error {
	switch {
	case target == "":
		return core.Refuse(core.ClassLink, "is a link to nothing")
	case len(target) > MaxNameLength:
		return core.Refuse(core.ClassLink, "is a link with a target of %d bytes; at most %d are allowed",
			len(target), MaxNameLength)
	case target[0] == '/':
		return core.Refuse(core.ClassLink, "is a link to %s, an absolute path: make it relative", showable(target))
	case !utf8.ValidString(target) || strings.Contains(target, `\`) || checkVisible(target) != nil:
		return core.Refuse(core.ClassLink, "is a link to %s, which is no plain path", showable(target))
	}
	return nil
}
