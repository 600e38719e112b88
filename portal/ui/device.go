package ui

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/oidc"
)

type devicePage struct {
	Page
	oidc.DevicePage
}

// Device shows the page of the device flow. The OpenID provider calls it through
// an interface of its own.
func (u *UI) Device(w http.ResponseWriter, r *http.Request, status int, p oidc.DevicePage) {
	page, opts := devicePage{DevicePage: p}, []Option(nil)
	switch {
	case p.Done == "approved":
		page.Title = "The device is connected"
	case p.Done != "":
		page.Title = "Nothing was connected"
	case p.Application != "":
		page.Title = "Connect this device?"
	default:
		page.Title = "Connect a device"
		opts = append(opts, CrossOriginForm()) // it may lead on to an identity provider
	}
	u.Render(w, r, status, "device", page, opts...)
}
