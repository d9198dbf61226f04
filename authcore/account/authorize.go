package account

import (
	"context"
	"log/slog"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// verb is a state change, by its name in the audit record.
type verb string

const (
	verbCreate         verb = "user.create"
	verbSetPassword    verb = "user.set_password"
	verbDisable        verb = "user.disable"
	verbEnable         verb = "user.enable"
	verbDelete         verb = "user.delete"
	verbSetGroups      verb = "user.set_groups"
	verbInvite         verb = "user.invite"
	verbSetProfile     verb = "user.set_profile"
	verbChange         verb = "user.change"
	verbChangePassword verb = "user.change_password"
	verbEndSessions    verb = "user.end_sessions"
	verbRequireChange  verb = "user.require_password_change"
	verbConsent        verb = "consent.give"
	verbWithdraw       verb = "consent.withdraw"
	verbFirstLink      verb = "link.make_first"
	verbSpendFirst     verb = "link.spend_first"
	verbSpendInvite    verb = "link.spend_invite"
	verbImport         verb = "users.import"
	verbExport         verb = "users.export"
)

// target is what a verb is done to.
type target struct {
	pool pool.ID
	sub  pool.UserID
}

// visitorVerbs are what somebody who is nobody yet may do: the link itself is
// the proof, and is checked by the verb.
func visitorVerbs() []verb { return []verb{verbSpendFirst, verbSpendInvite} }

// selfVerbs are what people may do to themselves.
func selfVerbs() []verb {
	return []verb{verbSetProfile, verbChangePassword, verbEndSessions, verbConsent, verbWithdraw}
}

// authorizeAndRecord decides whether the caller may, and writes the audit
// record of what is about to be done, or was refused: fault.Forbidden. There
// is no personal data in the record beyond the sub, and no secret.
func (s *Service) authorizeAndRecord(ctx context.Context, by pool.Caller, v verb, on target) error {
	allowed := false
	switch by.Kind {
	case pool.Operator, pool.System:
		allowed = true
	case pool.Self:
		allowed = by.Name != "" && by.Name == string(on.sub) && slices.Contains(selfVerbs(), v)
	case pool.Visitor:
		allowed = slices.Contains(visitorVerbs(), v)
	}
	s.record(ctx, by, v, on, allowed)
	if !allowed {
		return fault.New(fault.Forbidden, "you may not do this")
	}
	return nil
}

func (s *Service) record(ctx context.Context, by pool.Caller, v verb, on target, allowed bool) {
	s.log.LogAttrs(ctx, slog.LevelInfo, "audit",
		slog.String("verb", string(v)),
		slog.Bool("allowed", allowed),
		slog.String("caller", string(by.Kind)),
		slog.String("caller_name", by.Name),
		slog.String("pool", string(on.pool)),
		slog.String("user", string(on.sub)),
	)
}
