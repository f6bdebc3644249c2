package proto

// StoragePolicy is the value of message-storage-policy in the request that
// creates a channel ("Sending channel management requests to APNs"). It cannot be
// changed later.
type StoragePolicy int

// The two policies.
const (
	// StoreNothing (0) delivers a message to devices that are online and keeps
	// none; Apple grants such channels the higher publishing budget.
	StoreNothing StoragePolicy = 0
	// StoreLatest (1) keeps the most recent message for devices that come online
	// later, until it expires and for eight hours at most.
	StoreLatest StoragePolicy = 1
)

// ChannelPushType is the value of push-type in the requests and answers of
// channel management, in this very case. In apns-push-type of a broadcast the
// word is written as PushTypeLiveActivity.
const ChannelPushType = "LiveActivity"

// Members of the bodies of channel management.
const (
	MemberStoragePolicy = "message-storage-policy"
	MemberPushType      = "push-type"
	MemberChannels      = "channels"
)
