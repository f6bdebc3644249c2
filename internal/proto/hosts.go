package proto

// Hosts of the device-push API ("Sending notification requests to APNs").
const (
	HostProduction = "api.push.apple.com"
	HostSandbox    = "api.sandbox.push.apple.com"
	// HostSandboxAlias is the older name of the sandbox; Apple's own openssl
	// example still uses it.
	HostSandboxAlias = "api.development.push.apple.com"
)

// Second names for broadcasts. The prose of "Sending broadcast push notification
// requests to APNs" names the device-push hosts, its samples and
// "Troubleshooting push notifications" these; senders use the former.
const (
	HostBroadcastProduction = "api-broadcast.push.apple.com"
	HostBroadcastSandbox    = "api-broadcast.sandbox.push.apple.com"
)

// Hosts of the channel-management API ("Sending channel management requests to
// APNs"), with ports that differ by environment.
const (
	HostManageProduction = "api-manage-broadcast.push.apple.com"
	HostManageSandbox    = "api-manage-broadcast.sandbox.push.apple.com"
	PortManageProduction = 2196
	PortManageSandbox    = 2195
)

const (
	// PortHTTPS is the ordinary port of the device-push hosts.
	PortHTTPS = 443
	// PortAlternative exists so that a firewall can let APNs out and keep other
	// HTTPS in. It is documented for the two device-push hosts only.
	PortAlternative = 2197
)

// ALPN is the only application protocol APNs speaks (RFC 9113 section 3.2).
const ALPN = "h2"

// PathDevice precedes the hexadecimal device token in :path.
const PathDevice = "/3/device/"

// PathBroadcast precedes the bundle identifier in :path of a broadcast.
const PathBroadcast = "/4/broadcasts/apps/"

// The paths of channel management are PathApps, the bundle identifier, and one
// of the two others; the channel id travels in FieldChannelID.
const (
	PathApps        = "/1/apps/"
	PathChannels    = "/channels"
	PathAllChannels = "/all-channels"
)
