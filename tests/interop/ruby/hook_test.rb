# frozen_string_literal: true

# The example of an authorisation hook for Rails, asked by a real broker.

require "minitest/autorun"
require "action_controller/railtie"
require "active_support/encrypted_configuration"
require "net/http"
require "rack/handler/webrick"
require "tmpdir"

ROOT = File.expand_path("../../..", __dir__)
SECRET = "0123456789abcdef0123456789abcdef"
FILES = Dir.mktmpdir("widecast-hook-")
Minitest.after_run { FileUtils.remove_entry(FILES) }

# The credentials of an application, as `rails credentials:edit` writes them.
content_path = File.join(FILES, "credentials.yml.enc")
key_path = File.join(FILES, "master.key")
File.write(key_path, ActiveSupport::EncryptedFile.generate_key)
credentials = ActiveSupport::EncryptedConfiguration.new(
  config_path: content_path, key_path: key_path, env_key: "UNUSED", raise_if_missing_key: true
)
credentials.write("widecast_hook_secret: \"#{SECRET}\\n\"\n")

class Application < Rails::Application
  config.root = FILES
  config.eager_load = false
  config.logger = Logger.new(nil)
  config.hosts.clear
  config.credentials.content_path = File.join(FILES, "credentials.yml.enc")
  config.credentials.key_path = File.join(FILES, "master.key")
  routes.append { post "push/hook", to: "push_hooks#create" }
end

Application.initialize!
require File.join(ROOT, "examples/hook/rails/push_hooks_controller")

# Runs the binary on a port of its own until `stop`.
class Broker
  attr_reader :url

  def initialize(*arguments)
    binary = ENV.fetch("BROKER_BINARY", File.join(ROOT, "target/debug/widecast"))
    @errors, writer = IO.pipe
    @process = spawn(binary, "serve", "--listen", "127.0.0.1:0", *arguments, in: File::NULL, out: File::NULL, err: writer)
    writer.close
    @url = @errors.each_line.lazy.filter_map { |line| line[%r{listening on (http://[0-9.]+:\d+)}, 1] }.first
    raise "the broker ended before it listened" unless @url

    # A full pipe would stop the broker.
    @reading = Thread.new { @errors.read }
  end

  def stop
    Process.kill("KILL", @process)
    Process.wait(@process)
    @reading.join
    @errors.close
  end

  def publish(channel, body)
    answer = Net::HTTP.post(URI("#{url}/channels/#{channel}/messages"), body, "content-type" => "text/plain")
    [answer.code.to_i, JSON.parse(answer.body)["detail"]]
  end
end

class HookTest < Minitest::Test
  def setup
    @server = WEBrick::HTTPServer.new(
      BindAddress: "127.0.0.1", Port: 0, AccessLog: [], Logger: WEBrick::Log.new(File::NULL)
    )
    @server.mount("/", Rack::Handler::WEBrick, Rails.application)
    @serving = Thread.new { @server.start }
    @url = "http://127.0.0.1:#{@server.config[:Port]}/push/hook"
    secret = File.join(FILES, "hook.key")
    File.write(secret, "#{SECRET}\n")
    # The first answer of the example may be slow.
    settings = ["auth.hook.url=#{@url}", "auth.hook.secret_file=#{secret}", "auth.hook.timeout_ms=20000",
                "namespace.default.anonymous=*"]
    @broker = Broker.new(*settings.flat_map { |setting| ["--set", setting] })
  end

  def teardown
    @broker&.stop
    @server.shutdown
    @serving.join
  end

  # The status of the answer to a request that is not the broker's, or not of now.
  def forged(timestamp, secret)
    body = '{"event":"connect","user":null}'
    signature = OpenSSL::HMAC.hexdigest("SHA256", secret, "#{timestamp}.#{body}")
    headers = { "content-type" => "application/json", "Widecast-Timestamp" => timestamp.to_s, "Widecast-Signature" => signature }
    Net::HTTP.post(URI(@url), body, headers).code.to_i
  end

  def test_it_decides_what_clients_of_the_broker_may_do
    assert_equal [200, nil], @broker.publish("news", "x")
    assert_equal [403, "a message has at most 1000 bytes here"], @broker.publish("news", "x" * 1001)
    assert_equal [401, "log in to enter members:a"], @broker.publish("members:a", "x")
  end

  def test_it_answers_the_broker_only
    now = Time.now.to_i
    assert_equal 200, forged(now, SECRET)
    assert_equal 403, forged(now - 3600, SECRET)
    assert_equal 403, forged(now + 3600, SECRET)
    assert_equal 403, forged(now, "another")
  end
end
