// Package crash kills the built binary in the middle of its work, again and
// again, and checks after each start what the answers before the crash
// promised: nothing acknowledged is lost, and nothing works twice.
//
// GATEHOUSE_CRASH_ROUNDS says how many rounds; 200 is the default.
package crash
