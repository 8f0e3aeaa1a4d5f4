package ocsapi

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"net/http"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/store"
)

// A sender is whose a message is and what it is, as far as that can be read. Of a refused one it proves nothing.
type sender struct {
	device core.DeviceID
	query  ocs.Query
}

// senderOf reads the sender of a document that is refused.
func senderOf(document []byte) sender {
	from := sender{device: ocs.Sender(document)}
	if bytes.Contains(document, []byte(ocs.QueryInventory)) || len(document) > ocs.MaxMessage {
		from.query = ocs.QueryInventory // nothing else has a reason to be so long
	}
	return from
}

// noteRefused notes a refusal with the computer, for the administrator to see. PROGRESS is for display only and keeps
// nothing from its computer.
func (h *Handler) noteRefused(ctx context.Context, from sender, r *http.Request, reason error) {
	if from.device == "" || from.query == ocs.QueryProgress || statusOf(reason) >= http.StatusInternalServerError {
		return
	}
	now := h.now()
	caller := store.Stock(from.device)
	if !showsNone(r) {
		member, err := h.enroller.Verifier().Verify(r.TLS.PeerCertificates[0], 0, now)
		if err != nil || member.Device != from.device {
			return
		}
		caller.Key = keyIDOf(r.TLS.PeerCertificates[0].PublicKey.(ed25519.PublicKey)) // the verifier accepts no other
	}
	err := h.store.NoteRefusal(ctx, caller, store.Refusal{Query: from.query, Reason: text(reason.Error()), At: now})
	if err != nil {
		h.log.Error("refusal not noted", "computer", from.device, "reason", err)
	}
}
