/* The target's failed system calls, by thread, name, descriptor and errno: one more program at sys_exit, which
 * returns at once for a call that succeeded. ERRNO_* are made from the instrument errnos.
 */

struct failed_call {
    u32 thread;
    u16 number;
    u16 error; /* errno */
    u8 class;  /* FD_* */
    u8 owner;  /* of the descriptor, or UNKNOWN */
    u16 unused; /* the map compares every byte */
};

BPF_PERCPU_HASH(errnos, struct failed_call, u64, 4096);

int on_failed_call(struct bpf_raw_tracepoint_args *ctx) {
    long result = ctx->args[1];
    if (result >= 0 || result < -ERRNO_MOST)
        return 0;
    struct target *target = counted(COUNTS_CALLS);
    if (!target)
        return 0;
    struct entered entered = entered_with(ctx);
    u32 index = entered.number, fd = entered.first;
    u32 *does = syscall_does.lookup(&index);
    u32 class = class_of(does ? *does : 0, fd);
    struct failed_call key = {
        .thread = bpf_get_current_pid_tgid(),
        .number = index,
        .error = -result,
        .class = class,
        .owner = owner_of_descriptor(target, class, fd),
    };
    u64 nothing = 0, *count = errnos.lookup_or_try_init(&key, &nothing);
    if (count)
        lock_xadd(count, 1);
    else
        lose(LOST_ERRNOS);
    return 0;
}
