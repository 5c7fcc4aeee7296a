"""The frozen records that control sends to agents and agents report back. No logic."""
