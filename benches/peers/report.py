def machine(*_): return {}
def text(results):
    lines=[]
    for name, r in results.get("cpu", {}).items():
        lines.append(f"{name:36} {r['cpu_us']:8.2f} {r['user_share']:5.2f} {r['requests_per_second']:9.0f} {r['busy']:5.2f}")
    for t, rows in results.get("growth", {}).items():
        lines.append(t)
        for v, r in rows.items():
            lines.append(f"{v:36} {r['cpu_us']:8.2f} {r['user_share']:5.2f} {r['requests_per_second']:9.0f} {r['busy']:5.2f}")
    return "\n".join(lines)
def record(*_): pass
