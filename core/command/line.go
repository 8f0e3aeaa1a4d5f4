// Package command reads what a package's command line names: the program and its arguments for LAUNCH, and the folder for
// STORE. The server reads it when a package is built, the agent when it runs: what the one accepts, the other reads the
// same, and what the agent would refuse for its form, the build refuses first.
//
// The rules are those of the system that the package is for, wherever the line is read:
//
//   - Linux: as a POSIX shell splits words, with nothing of its expansions. Blanks, tabs and line ends stand between
//     words; '...' is taken as it is; in "..." a backslash takes the meaning from $, `, " and \, outside from any
//     character. $NAME and ${NAME} are variables, but not in '...' nor behind a backslash.
//   - Windows: "..." is all there is, since backslashes stand in paths. %NAME% is a variable, also in "...".
//
// A variable's value never becomes two arguments, and is not looked at again. EXECUTE's line is a shell's, and none of this
// package's business. It does no input or output; values of variables come from the caller.
package command

import (
	"path"
	"slices"
	"strings"

	"enjambre/core"
)

// MaxArguments bounds a command line after expansion, in bytes: what Linux takes as one argument.
const MaxArguments = 128 << 10

// A Lookup returns a variable's value. Its errors should have the class E_ENV.
type Lookup func(name string) (string, error)

// A Line is a command line of LAUNCH: words whose variables are not expanded yet. It has one word at least.
type Line struct {
	words []word
	os    core.OS
}

// Parse reads a command line. It refuses what is empty, ends within quotes, or names no file within the archive (all
// E_EXEC), a variable that is not closed (E_ENV), and arguments that a Windows batch file would read as something else.
func Parse(line string, os core.OS) (Line, error) {
	words, err := splitWords(line, os)
	if err != nil {
		return Line{}, err
	}
	if len(words) == 0 {
		return Line{}, core.Refuse(core.ClassExec, "the command is empty")
	}
	read := Line{words, os}
	for i, one := range words {
		if err := one.check(os); err != nil {
			return Line{}, err
		}
		text, isWhole := one.literally(os)
		switch {
		case i > 0 && isWhole && isBatch(read.Program()):
			err = CheckBatch(text)
		case i == 0 && isWhole:
			_, err = Inside(text, os)
		}
		if err != nil {
			return Line{}, err
		}
	}
	return read, nil
}

// Program returns the file of the archive that the line names, slash-separated, relative and clean, as archives name it.
// It is "" when that depends on a variable.
func (l Line) Program() string {
	text, isWhole := l.words[0].literally(l.os)
	if !isWhole {
		return ""
	}
	name, err := Inside(text, l.os)
	if err != nil {
		return "" // which Parse has refused
	}
	return name
}

// Arguments returns the program, as the line spells it, and its arguments, with all variables expanded. Refusals: those of
// lookup, and E_EXEC for what is longer than MaxArguments together or is nothing for a batch file.
func (l Line) Arguments(lookup Lookup) ([]string, error) {
	args := make([]string, len(l.words))
	size := 0
	for i, word := range l.words {
		var err error
		if args[i], err = word.expand(lookup, l.os); err != nil {
			return nil, err
		}
		size += len(args[i]) + 1
	}
	if err := CheckSize(size); err != nil {
		return nil, err
	}
	if program, err := Inside(args[0], l.os); l.os == core.Windows && err == nil && isBatch(program) {
		for _, arg := range args[1:] {
			if err := CheckBatch(arg); err != nil {
				return nil, err
			}
		}
	}
	return args, nil
}

// CheckSize refuses a command of so many bytes that is longer than MaxArguments.
func CheckSize(size int) error {
	if size <= MaxArguments {
		return nil
	}
	return core.Refuse(core.ClassExec, "the command has %d bytes; at most %d are allowed", size, MaxArguments)
}

// Inside returns a program's name as archives have it: slash-separated, relative and clean. A name that leads out of the
// archive is refused, by the rules of the package's system: on Windows backslashes separate too, and ":" leads out.
func Inside(name string, os core.OS) (string, error) {
	slashed := slashed(name, os)
	clean := path.Clean(slashed)
	outside := name == "" || path.IsAbs(slashed) || clean == ".." || strings.HasPrefix(clean, "../") || clean == "." ||
		strings.ContainsRune(clean, 0) || os == core.Windows && strings.ContainsRune(clean, ':')
	if outside {
		return "", core.Refuse(core.ClassExec, "LAUNCH runs a program inside the archive; %.200q is none: use EXECUTE", name)
	}
	return clean, nil
}

func slashed(name string, os core.OS) string {
	if os == core.Windows {
		return strings.ReplaceAll(name, `\`, "/")
	}
	return name
}

func isBatch(program string) bool {
	extension := strings.ToLower(path.Ext(program))
	return extension == ".bat" || extension == ".cmd"
}

// CheckBatch refuses an argument that the interpreter of Windows' batch files would read as something else (E_EXEC).
func CheckBatch(arg string) error {
	if at := strings.IndexAny(arg, "\"%!&|<>^\r\n"); at >= 0 {
		return core.Refuse(core.ClassExec, "the argument %.80q has a %q, which a batch file would not take as it is", arg,
			arg[at])
	}
	return nil
}

// CheckFolder refuses the path of a STORE whatever its variables are: with ".." in it, not absolute, or with a variable
// that is not closed. Refusals: E_PATH and E_ENV.
func CheckFolder(folder string, os core.OS) error {
	text, isWhole, err := literally(folder, os)
	if err != nil {
		return err
	}
	parts := strings.FieldsFunc(folder, func(r rune) bool { return r == '/' || os == core.Windows && r == '\\' })
	switch {
	case slices.Contains(parts, ".."):
		return core.Refuse(core.ClassPath, `%.200q has ".." in it: write it without`, folder)
	case isWhole && !isAbsolute(text, os):
		return core.Refuse(core.ClassPath, "%.200q is no absolute path", folder)
	case !isWhole && text != "" && !isAbsolute(text, os) && (os != core.Windows || !strings.HasSuffix(text, ":")):
		return core.Refuse(core.ClassPath, "%.200q is no absolute path", folder)
	}
	return nil
}

// isAbsolute reports whether a path, or its beginning, is absolute. A drive's letter may stand alone before a variable.
func isAbsolute(folder string, os core.OS) bool {
	if os != core.Windows {
		return strings.HasPrefix(folder, "/")
	}
	folder = slashed(folder, os)
	return strings.HasPrefix(folder, "//") || len(folder) >= 3 && folder[1:3] == ":/"
}
