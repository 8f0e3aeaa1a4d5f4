package inventory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"enjambre/agent/internal/aside"
	"enjambre/core/ocs"
)

const dpkgFolder = "/var/lib/dpkg/"

// readPrograms lists the packages of dpkg's and rpm's databases. A database that fails does not hide the
// other.
func readPrograms(ctx context.Context, s System) ([]ocs.Section, error) {
	limited, cancel := context.WithTimeout(ctx, MaxSource)
	defer cancel()
	debs, errDpkg := aside.Do(limited, "dpkg of "+s.Root, s.dpkgPrograms)
	rpms, errRPM := s.rpmPrograms(ctx, MaxPrograms-len(debs))
	sections := append(debs, rpms...)
	if len(sections) == 0 && errDpkg == nil && errRPM == nil {
		return nil, errors.New("there is no package database of dpkg or rpm")
	}
	return sections, errors.Join(errDpkg, errRPM)
}

func (s System) programSection(one program, from string, installed time.Time) ocs.Section {
	return section(softwares, "NAME", one.name, "VERSION", one.version, "PUBLISHER", one.publisher,
		"COMMENTS", one.comments, "FILESIZE", number(one.bytes), "INSTALLDATE", s.day(installed),
		"ARCHITECTURE", one.architecture, "FROM", from)
}

var errTooMany = fmt.Errorf("there are more than %d packages; the rest is not sent", MaxPrograms)

// dpkgPrograms reads dpkg's own file; nothing when there is none. A package counts as installed when its list
// of files was last written, which is its last upgrade.
func (s System) dpkgPrograms() ([]ocs.Section, error) {
	file, err := os.Open(s.path(dpkgFolder + "status"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("dpkg: %w", err)
	}
	defer file.Close()
	programs, cut, err := parseDpkg(file, MaxPrograms)
	if err != nil {
		return nil, fmt.Errorf("dpkg: %w", err)
	}
	var sections []ocs.Section
	for _, one := range programs {
		name := one.name
		if one.multiArch && one.architecture != "" && validPackage(one.architecture) {
			name += ":" + one.architecture
		}
		sections = append(sections, s.programSection(one, "deb", s.modified(dpkgFolder+"info/"+name+".list")))
	}
	if cut {
		return sections, errTooMany
	}
	return sections, nil
}

// rpmDatabases are where rpm keeps its packages, in its several formats; its folder alone is often there
// without.
var rpmDatabases = []string{
	"/usr/lib/sysimage/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/Packages.db", "/usr/lib/sysimage/rpm/Packages",
	"/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/Packages.db", "/var/lib/rpm/Packages",
}

// rpmPrograms asks rpm, whose database has several formats and belongs to it; nothing when there is no
// database.
func (s System) rpmPrograms(ctx context.Context, most int) ([]ocs.Section, error) {
	if !slices.ContainsFunc(rpmDatabases, s.exists) {
		return nil, nil
	}
	programs := []string{"/usr/bin/rpm", "/bin/rpm"}
	at := slices.IndexFunc(programs, s.exists)
	if at < 0 {
		return nil, errors.New("rpm: there is a database, but no /usr/bin/rpm to read it")
	}
	output, err := s.Run(ctx, programs[at], "-qa", "--queryformat", rpmFormat)
	if err != nil {
		return nil, err
	}
	packages, cut := parseRPM(string(output), most)
	var sections []ocs.Section
	for _, one := range packages {
		sections = append(sections, s.programSection(one.program, "rpm", one.installed))
	}
	if cut {
		return sections, errTooMany
	}
	return sections, nil
}
