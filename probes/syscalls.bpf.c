/* The target's system calls, by thread, name and kind of descriptor.
 *
 * On x86-64 the return is enough: the kernel keeps the number in orig_ax and the arguments in their registers, so
 * one tracepoint has number, descriptor and result. Descriptors are classified at the start from /proc, and here
 * when they are made or closed (a copy by dup counts as FD_OTHER).
 *
 * FD_* and DOES_* are made from syscalls.py.
 */

struct syscall_key {
    u32 thread;
    u16 number;
    u8 class; /* FD_* */
    u8 owner; /* of the descriptor, or UNKNOWN */
};

struct syscall_count {
    u64 calls;
    u64 errors;
    u64 bytes;
};

BPF_ARRAY(syscall_does, u32, 512); /* number -> DOES_* */
BPF_HASH(fd_class, u32, u32, 16384); /* -> FD_* */
BPF_HASH(fd_owner, u32, u32, 4096);
BPF_PERCPU_HASH(syscalls, struct syscall_key, struct syscall_count, 8192);
BPF_ARRAY(syscall_slots, u32, SIDE_INDEX_SIZE); /* SIDE_INDEX of the class -> slot + 1 */

/* Of struct pt_regs, where they are adjacent: si, di and orig_ax. */
struct entered {
    u64 second;
    u64 first;
    u64 number;
};

/* recvmmsg(descriptor, messages, …): the length of each is in its struct mmsghdr (linux/socket.h). */
static __always_inline u64 message_bytes(u64 at, u64 number) {
    u64 sum = 0;
    if (number > MOST_VECTORS) {
        lose(LOST_IOVEC);
        number = MOST_VECTORS;
    }
    for (u32 i = 0; i < MOST_VECTORS; i++) {
        u32 length = 0;
        if (i >= number)
            break;
        if (bpf_probe_read_user(&length, sizeof(length), (void *)(at + i * 64 + 56))) {
            lose(LOST_READ);
            break;
        }
        sum += length;
    }
    return sum;
}

/* Number and arguments of the system call that returns (sys_exit's first argument has its registers). */
static __always_inline struct entered entered_with(struct bpf_raw_tracepoint_args *ctx) {
    struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
    struct entered entered = {};
    bpf_probe_read_kernel(&entered, sizeof(entered), &regs->si);
    return entered;
}

/* The class of the descriptor argument of a system call that `does` this; FD_NONE if it has none. */
static __always_inline u32 class_of(u32 does, u32 fd) {
    if (!(does & DOES_FD))
        return FD_NONE;
    u32 *known = fd_class.lookup(&fd);
    return known ? *known : FD_OTHER;
}

/* The owner of a descriptor of that class. */
static __always_inline u32 owner_of_descriptor(struct target *target, u32 class, u32 fd) {
    if (class == FD_NONE || class == FD_OTHER || class == FD_EVENTFD) /* no network client has these */
        return UNKNOWN;
    u32 *known = fd_owner.lookup(&fd);
    if (known)
        return *known;
    return class == FD_STREAM || class == FD_DATAGRAM ? target->sockets : UNKNOWN;
}

int on_sys_exit(struct bpf_raw_tracepoint_args *ctx) {
    struct target *target = counted(COUNTS_CALLS);
    long result = ctx->args[1];
    if (!target)
        return 0;
    struct entered entered = entered_with(ctx);
    u64 number = entered.number, first = entered.first, second = entered.second;

    u32 index = number;
    u32 *does = syscall_does.lookup(&index);
    if (!does)
        return 0;
    if (*does & DOES_WAIT)
        frames_rest();
    u32 fd = first, class = class_of(*does, fd), owner = owner_of_descriptor(target, class, fd);
    if (result >= 0) {
        u32 made = result;
        if (*does & DOES_SOCKET) {
            u32 new = FD_OTHER; /* the first argument is the domain: 2 and 10 are AF_INET and AF_INET6 */
            if (first == 2 || first == 10)
                new = (second & 0xf) == 1 ? FD_STREAM : FD_DATAGRAM;
            fd_class.update(&made, &new);
        } else if (*does & DOES_ACCEPT) {
            fd_class.update(&made, &class);
        } else if (*does & DOES_EVENTFD) {
            u32 new = FD_EVENTFD;
            fd_class.update(&made, &new);
        } else if (*does & DOES_CLOSE) {
            fd_class.delete(&fd);
            fd_owner.delete(&fd);
        }
    }

    struct syscall_key key = {
        .thread = bpf_get_current_pid_tgid(), .number = number, .class = class, .owner = owner};
    struct syscall_count nothing = {};
    struct syscall_count *count = syscalls.lookup_or_try_init(&key, &nothing);
    if (!count) {
        lose(LOST_SYSCALLS);
        return 0;
    }
    lock_xadd(&count->calls, 1);
    if (result < 0) {
        lock_xadd(&count->errors, 1);
        return 0;
    }
    if (!(*does & (DOES_READ | DOES_WRITE)))
        return 0;
    u64 frames = class == FD_STREAM ? 0 : 1, bytes = result;
    if (*does & DOES_MANY) {
        frames = class == FD_STREAM ? 0 : result;
        bytes = message_bytes(second, result);
    }
    lock_xadd(&count->bytes, bytes);
    u32 side = SIDE_INDEX(class, *does & DOES_READ ? RX : TX);
    u32 *slot = syscall_slots.lookup(&side);
    /* A read is the first stage of its path: a frame carried before on this thread was another one. */
    if (owner == UNKNOWN && target->owners && *does & DOES_READ)
        owner = NOBODY;
    if (slot && *slot && result)
        passed(*slot - 1, owner, frames, bytes);
    return 0;
}
