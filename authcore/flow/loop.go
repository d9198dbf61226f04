package flow

import "github.com/gatehouse-auth/gatehouse/authcore/fault"

// ErrLoop says that a browser was sent back and forth between the pages and
// the authorization endpoint without getting on.
var ErrLoop = fault.New(fault.Invalid, "The browser was sent back and forth without getting on. Start again at the application; if it happens once more, delete the cookies of this site.")
