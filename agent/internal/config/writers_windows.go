package config

import "io/fs"

// checkWriters trusts the access list that the installer gives the folder.
func checkWriters(string, fs.FileInfo) error { return nil }
