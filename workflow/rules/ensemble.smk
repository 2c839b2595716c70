# Conditional simulation x* + (x_s − x_s*): its rules join with the SPDE prior. No method has an
# ensemble yet; the formal standard deviation of oi_tuned travels in its maps (`ssh_std`).
