/* QEMU's functions that a frame passes: one handler for all of them.
 *
 * The instruction pointer identifies the function, so one compiled program serves every path. All packet
 * functions of net/ have the same first arguments: (client, data, length) or (client, vector, number of
 * vectors). libslirp's callback has (data, length, opaque): RULE_PACKET.
 *
 * RULE_* are made from qemu_function.py.
 */

struct site {
    u8 rule;
    u8 sender;  /* number of the argument with the sending client, 0 for none: a NIC sends tx */
    u8 slot[2]; /* by direction; NO_SLOT for none */
    u8 way[2];  /* of the stage, by which it is passed here, by direction; 0 for the usual one */
    u8 ring;    /* SITE_*: what the card does with its ring before or after */
};

BPF_HASH(sites, u64, struct site, 256);

struct vector {
    u64 base;
    u64 length;
};

static __always_inline u64 vector_bytes(u64 at, u64 number) {
    u64 sum = 0;
    if (number > MOST_VECTORS) {
        lose(LOST_IOVEC);
        number = MOST_VECTORS;
    }
    for (u32 i = 0; i < MOST_VECTORS; i++) {
        struct vector one = {};
        if (i >= number)
            break;
        if (bpf_probe_read_user(&one, sizeof(one), (void *)(at + i * sizeof(one)))) {
            lose(LOST_READ);
            break;
        }
        sum += one.length;
    }
    return sum;
}

/* The direction of the last stage that this thread has passed. */
static __always_inline u8 thread_way(void) {
    u64 key = (u64)(u32)bpf_get_current_pid_tgid() << 1;
    struct seen *sent = latest.lookup(&key);
    key |= RX;
    struct seen *received = latest.lookup(&key);
    return received && (!sent || sent->when < received->when) ? RX : TX;
}

int on_function(struct pt_regs *ctx) {
    struct target *target = traced();
    u64 at = PT_REGS_IP(ctx);
    if (!target)
        return 0;
    struct site *site = sites.lookup(&at);
    if (!site)
        return 0;
    u8 slot = site->slot[TX] != NO_SLOT ? site->slot[TX] : site->slot[RX];
    u64 first = PT_REGS_PARM1(ctx), second = PT_REGS_PARM2(ctx), third = PT_REGS_PARM3(ctx);
    /* Otherwise the compiler chooses between places in ctx, which the verifier does not follow. */
    asm volatile("" : "+r"(first), "+r"(second), "+r"(third));
    u64 client = site->sender == 2 ? second : site->rule == RULE_PACKET ? third : first;
    if (site->sender) {
        u64 info = 0;
        u32 type = 0;
        if (bpf_probe_read_user(&info, sizeof(info), (void *)(client + target->client_info)) ||
            bpf_probe_read_user(&type, sizeof(type), (void *)(info + target->info_type))) {
            lose(LOST_READ);
            return 0;
        }
        if (type == target->driver_port) /* a hub passes on a frame that was counted when it was sent */
            return 0;
        slot = type == target->driver_nic ? site->slot[TX] : site->slot[RX];
    } else if (site->rule == RULE_EITHER) {
        slot = site->slot[thread_way()];
    }
    if (slot == NO_SLOT)
        return 0;
    u32 owner = owner_of(client);
    u64 data = second, length = 0, vectors = 0, frames = 1;
    if (site->rule == RULE_BUFFER) {
        length = (u32)third;
    } else if (site->rule == RULE_PACKET) {
        length = second;
        data = first;
    } else if (site->rule == RULE_IOVEC) {
        vectors = (u32)third;
        length = vector_bytes(data, vectors);
    } else {
        frames = 0;
    }
    u8 way = slot == site->slot[TX] ? site->way[TX] : site->way[RX];
    u64 sampled = passed(slot | (u32)way << 8, owner, frames, length);
    if (site->ring == SITE_SENDS && slot == site->slot[TX])
        dma_sent(owner, frames, length);
    else if (site->ring == SITE_DELIVERS && slot == site->slot[RX])
        dma_deliver();
    if (sampled && frames)
        sample_data(slot, sampled, data, vectors, length);
    return 0;
}
