package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A slow disk is made without one: the kernel asks this program before each fsync
// and fdatasync of a server, and gets its answer late (seccomp's user
// notification, since Linux 5.5). The server's own calls are all that is touched,
// so nobody else on the machine notices, and no rights are needed. A server does
// it to itself before it begins: this program is started in its place, asks for
// the notifications, hands them to its parent, and becomes the server.

// slowDisk is the first argument of this program where it is to become a server
// on a slow disk.
const slowDisk = "on-a-slow-disk"

// handOver is the file descriptor that the notifications are handed over by.
const handOver = 3

// syncs is the filter: ask before fsync and fdatasync, let all else be.
var syncs = []unix.SockFilter{
	{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_FSYNC, Jt: 1},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_FDATASYNC, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
	{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
}

// becomeSlow turns this process into another one whose syncs are asked about. It
// returns only if that fails.
func becomeSlow(args []string) error {
	runtime.LockOSThread() // the filter is a thread's, and so is what follows exec
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	program := unix.SockFprog{Len: uint16(len(syncs)), Filter: &syncs[0]}
	asked, _, no := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if no != 0 {
		return fmt.Errorf("seccomp: %w", no)
	}
	if err := unix.Sendmsg(handOver, []byte{1}, unix.UnixRights(int(asked)), nil, 0); err != nil {
		return fmt.Errorf("sendmsg: %w", err)
	}
	unix.CloseOnExec(handOver)
	return syscall.Exec(args[0], args, os.Environ())
}

// slowed makes a command that is to be on a slow disk. The function is called
// when it has started, and answers its syncs until it is gone.
func slowed(cmd *exec.Cmd, delay time.Duration) (attend func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs := os.NewFile(uintptr(pair[1]), "hand-over")
	cmd.Args = append([]string{self, slowDisk, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.ExtraFiles = self, []*os.File{theirs}
	return func() error {
		theirs.Close()
		defer unix.Close(pair[0])
		asked, err := takeOver(pair[0])
		if err != nil {
			return err
		}
		go answerSyncs(asked, delay)
		return nil
	}, nil
}

// takeOver receives a file descriptor.
func takeOver(socket int) (int, error) {
	data, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data, rights, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return 0, errors.New("its syncs cannot be slowed down here; its log says why")
	}
	list, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(list) != 1 {
		return 0, fmt.Errorf("no descriptor came: %w", err)
	}
	return list[0], nil
}

// syncAsked and syncAnswer are the kernel's seccomp_notif and seccomp_notif_resp.
type syncAsked struct {
	id         uint64
	pid, flags uint32
	call       [64]byte
}

type syncAnswer struct {
	id    uint64
	value int64
	error int32
	flags uint32
}

// answerSyncs lets each sync go on after a delay, as a disk with a queue would: those
// that are asked for at the same time wait at the same time.
func answerSyncs(asked int, delay time.Duration) {
	defer unix.Close(asked)
	for {
		ready := []unix.PollFd{{Fd: int32(asked), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, -1); err != nil && !errors.Is(err, unix.EINTR) || ready[0].Revents&unix.POLLHUP != 0 {
			return // nobody is left who could ask
		}
		var n syncAsked
		if _, _, no := unix.Syscall(unix.SYS_IOCTL, uintptr(asked), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); no != 0 {
			continue // whoever asked has been killed meanwhile
		}
		time.AfterFunc(delay, func() {
			v := syncAnswer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
			unix.Syscall(unix.SYS_IOCTL, uintptr(asked), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&v)))
		})
	}
}
