"""What tests share: real servers, a sandbox, and processes of ours that can be killed."""
