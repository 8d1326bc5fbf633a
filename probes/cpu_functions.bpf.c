/* Where the target's threads are when the clock of their processor ticks.
 *
 * One software event (cpu-clock) a processor, no uprobe: a sample costs the processor about a microsecond
 * and the target nothing between two samples. What is sampled is named in user space.
 *
 * What a program of a perf event is given begins with the registers (bpf_perf_event_data); the header that says
 * so brings in so much that the compiler takes a second for it. IN_* are made from the instrument
 * cpu_functions.
 */

struct cpu_at {
    u32 thread;
    u32 unused; /* the map compares every byte */
    u64 address;
};

struct cpu_span {
    u64 first;
    u64 end;
};

#define MOST_SPANS 4

BPF_HASH(cpu_samples, struct cpu_at, u64, 16384);
BPF_ARRAY(cpu_generated, struct cpu_span, MOST_SPANS); /* memory that QEMU itself has put code into */

int on_cpu_clock(struct pt_regs *ctx) {
    u32 zero = 0, thread = bpf_get_current_pid_tgid();
    struct target *target = targets.lookup(&zero);
    if (!target || !target->running)
        return 0;
    if (target->tgid != bpf_get_current_pid_tgid() >> 32 && !vhost_workers.lookup(&thread))
        return 0;
    struct cpu_at at = {.thread = thread, .address = PT_REGS_IP(ctx)};
    /* The kernel lets a register be read as a whole only; since Linux 6.9 the header's `cs` is 16 bits of it. */
    if (!(*(volatile u64 *)&ctx->cs & 3)) {
        at.address = IN_KERNEL;
    } else {
        for (u32 i = 0; i < MOST_SPANS; i++) {
            u32 which = i;
            struct cpu_span *span = cpu_generated.lookup(&which);
            if (span && span->first <= at.address && at.address < span->end)
                at.address = IN_GUEST; /* lies in no span */
        }
    }
    u64 *count = cpu_samples.lookup(&at), one = 1;
    if (count)
        lock_xadd(count, 1);
    else if (cpu_samples.update(&at, &one))
        lose(LOST_CPU);
    return 0;
}
