package installer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"time"
)

// Where a Debian package and install.sh put things.
const (
	debProgram   = "/usr/bin/enjambre-agent"
	debLib       = "/usr/lib/enjambre-agent"
	localProgram = "/usr/local/bin/enjambre-agent"
	localLib     = "/usr/local/lib/enjambre-agent"
)

// stamp is the time of every file, so that equal options give equal bytes.
var stamp = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A file is one entry of an archive; a folder has no data and a name that ends in a slash.
type file struct {
	name string
	mode int64
	data []byte
}

// WriteTarGz writes a gzipped tar of one folder, enjambre-agent/, with everything and install.sh.
func WriteTarGz(w io.Writer, o Options) error {
	if err := o.Check(); err != nil {
		return err
	}
	packed, err := pack([]file{
		{"enjambre-agent/", 0o755, nil},
		{"enjambre-agent/install.sh", 0o755, script("install", localProgram, localLib, `"${DESTDIR:-}"`)},
		{"enjambre-agent/enjambre-agent", 0o755, o.Program.data},
		{"enjambre-agent/agent.toml", 0o600, o.settings(localLib)},
		{"enjambre-agent/cacert.pem", 0o644, o.Authority},
		{"enjambre-agent/token", 0o600, []byte(o.Token + "\n")},
	})
	if err == nil {
		_, err = w.Write(packed)
	}
	return err
}

// WriteDeb writes a Debian package.
//
// A Debian package (deb(5), format 2.0) is an ar archive of debian-binary, which says 2.0, control.tar.gz with the
// control file and the scripts, and data.tar.gz with the files. Each member of an ar archive has a header of 60 bytes
// (name 16, time 12, owner 6, group 6, mode 8 octal, size 10, then 0x60 0x0a) and begins at an even place.
func WriteDeb(w io.Writer, o Options) error {
	if err := o.Check(); err != nil {
		return err
	}
	const root = `"${DPKG_ROOT:-}"`
	files := []file{
		{"./", 0o755, nil}, {"./usr/", 0o755, nil}, {"./usr/bin/", 0o755, nil},
		{"." + debProgram, 0o755, o.Program.data},
		{"./usr/lib/", 0o755, nil}, {"." + debLib + "/", 0o755, nil},
		{"." + debLib + "/agent.toml", 0o600, o.settings(debLib)},
		{"." + debLib + "/cacert.pem", 0o644, o.Authority},
		{"." + debLib + "/token", 0o600, []byte(o.Token + "\n")},
	}
	data, err := pack(files)
	if err != nil {
		return err
	}
	control, err := pack([]file{
		{"./", 0o755, nil},
		{"./control", 0o644, o.control(files)},
		{"./postinst", 0o755, script("postinst", debProgram, debLib, root)},
		{"./postrm", 0o755, script("postrm", debProgram, debLib, root)},
		{"./prerm", 0o755, script("prerm", debProgram, debLib, root)},
	})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, member := range []file{
		{"debian-binary", 0o644, []byte("2.0\n")}, {"control.tar.gz", 0o644, control}, {"data.tar.gz", 0o644, data},
	} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", member.name, stamp.Unix(), 0, 0, 0o100000|member.mode,
			len(member.data))
		b.Write(member.data)
		if len(member.data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	_, err = w.Write(b.Bytes())
	return err
}

// control returns the package's control file.
func (o Options) control(files []file) []byte {
	size := 0
	for _, one := range files {
		size += (len(one.data) + 1023) / 1024
	}
	return fmt.Appendf(nil, `Package: enjambre-agent
Version: %s
Architecture: %s
Maintainer: administrators of deployment %s <root@localhost>
Installed-Size: %d
Section: admin
Priority: optional
Description: software deployment agent for site %s
 The service that calls the deployment server %s,
 fetches packages and runs them. It enrols by itself when it starts first.
`, o.Program.version, o.Program.arch, o.Deployment, size, o.Site, o.Server)
}

// pack makes a gzipped tar of files that belong to root.
func pack(files []file) ([]byte, error) {
	var b bytes.Buffer
	compressed := gzip.NewWriter(&b)
	archive := tar.NewWriter(compressed)
	for _, one := range files {
		header := &tar.Header{
			Name: one.name, Mode: one.mode, Size: int64(len(one.data)), ModTime: stamp, Uname: "root", Gname: "root",
			Typeflag: tar.TypeReg, Format: tar.FormatUSTAR,
		}
		if one.data == nil {
			header.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(one.data); err != nil {
			return nil, err
		}
	}
	err := errors.Join(archive.Close(), compressed.Close())
	return b.Bytes(), err
}
