/* pci_set_irq(device, level): the interrupt pin of a card without MSI (hw/pci/pci.c).
 *
 * Devices set the level again and again; a change from low to high is one interrupt. It belongs to the
 * direction whose stage this thread has passed last.
 */

BPF_ARRAY(pci_irq_slots, u32, 2); /* direction -> slot + 1 */
BPF_HASH(irq_level, u64, u32, 1024);

int on_pci_set_irq(struct pt_regs *ctx) {
    u64 device = PT_REGS_PARM1(ctx);
    u32 level = (u32)PT_REGS_PARM2(ctx) != 0;
    u64 thread = (u32)bpf_get_current_pid_tgid();
    if (!traced())
        return 0;
    u32 *before = irq_level.lookup(&device);
    u32 rises = level && (!before || !*before);
    irq_level.update(&device, &level);
    if (!rises)
        return 0;
    u64 tx_key = thread << 1 | TX, rx_key = thread << 1 | RX;
    struct seen *sent = latest.lookup(&tx_key), *received = latest.lookup(&rx_key);
    if (!sent && !received)
        return 0;
    u32 direction = !received || (sent && sent->when > received->when) ? TX : RX;
    u32 *slot = pci_irq_slots.lookup(&direction);
    if (slot && *slot)
        passed(*slot - 1, 0, 0);
    return 0;
}
