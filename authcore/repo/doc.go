// Package repo is the typed, sealed view of the store: key schema, codec,
// sealing, list entries, aliases. It is the only package that builds store
// keys. It knows no policy: who may do what is decided above it.
//
// # Keys
//
// The partition of a user and of all that belongs to the user is
// SHA-256(pool id, NUL, sub)[0]; of an alias the first byte of its HMAC; of a
// pool's own objects ("home") SHA-256(pool id)[0]; of the list of pools
// ("system") SHA-256("")[0]. Every name begins with the pool's tag, the first
// 8 bytes of SHA-256(pool id), so that pools never collide; what follows:
//
//	id table       kind      listed expires  KiB  partition  name after the tag                owner
//	 1 pools       directory yes    never      4  system     the pool's name                   EnsurePool
//	 2 data keys   directory no     never     16  home       "dk"                              EnsurePool
//	 3 users       directory yes    never     64  user       sub, 16 bytes                     account
//	 4 tombstones  directory no     always     1  user       sub, 16 bytes                     this package
//	 5 aliases     directory no     never      1  alias      HMAC, 16 bytes                    this package
//	 6 invites     directory no     always     1  user       hash of the link's handle         account
//	 7 first user  directory no     always     1  home       "first"                           account
//	 8 keys        directory no     never     64  home       use                               keyring
//	 9 revocations directory yes    always    16  user       "u", sub; "f", sub, hash of       this package, token
//	                                                         origin_jti, 16 bytes
//	10 consents    directory yes    never     16  user       sub, hash of client, host and     account
//	                                                         resource, 16 bytes
//	16 sessions    session   no     always    16  user       hash of the handle                session
//	17 site sess.  session   no     always    16  user       hash of the handle                session, token
//	18 codes       session   no     always    16  user       hash of the handle                token
//	19 families    session   no     always    16  user       name chosen by token              token
//	20 used        session   no     always     1  user       attempt id; "w", sub, hash of the session, token
//	                                                         client, 16 bytes
//	21 guesses     session   no     always     1  user       HMAC of sub, kind and scope       factor
//	22 refs        session   yes    always     1  user       sub, name of the session          session
//	23 attempts    session   no     always     4  user       hash of the handle                flow
//	24 family refs session   yes    always     1  user       sub, hash of the client, 16       token
//	                                                         bytes, name of the family
//
// Ids are never reused. No name holds personal data: HMACs are keyed.
//
// # Values
//
// A value is a JSON object with short member names and "v", the version of
// its form (1). Members that this build does not know survive a rewrite. It
// is sealed: a format byte (1), the id of the data key, then AEAD with the key
// derived from that data key for the table; associated data are format, key
// id, partition, table and name, so that a record that was copied or moved
// elsewhere does not open. Only table 2 is not sealed: it holds the pool's
// data keys, wrapped by the key-encryption key for this pool and key id. The
// list of pools is sealed under a data key of its own, that of the pool with the empty id.
package repo
