# The authorisation hook of Widecast for Rails: `post "push/hook", to: "push_hooks#create"`, and widecast_hook_secret in the credentials.
class PushHooksController < ActionController::API
  def create
    timestamp = request.headers["Widecast-Timestamp"].to_s
    secret = Rails.application.credentials.widecast_hook_secret.strip
    expected = OpenSSL::HMAC.hexdigest("SHA256", secret, "#{timestamp}.#{request.raw_post}")
    genuine = ActiveSupport::SecurityUtils.secure_compare(expected, request.headers["Widecast-Signature"].to_s)
    return head(:forbidden) unless genuine && (Time.now.to_i - timestamp.to_i).abs <= 60

    render json: decide(JSON.parse(request.raw_post))
  end

  private

  # Says yes or no. Replace this by what your application knows: here rooms are for members, and messages have a length.
  def decide(question)
    channel = question["channel"].to_s
    if channel.start_with?("members:") && question["user"].nil?
      { allow: false, code: "unauthorized", reason: "log in to enter #{channel}" }
    elsif question["event"] == "publish" && question["message"]["bytes"] > 1000
      { allow: false, reason: "a message has at most 1000 bytes here" }
    else
      { allow: true }
    end
  end
end
