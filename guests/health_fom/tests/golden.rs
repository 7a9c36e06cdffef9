//! Fixtures in, the text of every point, gap and request out.

collector_sdk::golden!(collector_health_fom::HealthFom);
