package cli

import "io/fs"

// ownerOf knows no users by number.
func ownerOf(fs.FileInfo) int { return -1 }
